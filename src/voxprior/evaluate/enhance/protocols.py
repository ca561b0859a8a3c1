"""Which blocks of test subjects become coarse in plane, and how."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from voxprior.errors import InputError
from voxprior.evaluate.directions import fine_directions
from voxprior.evaluate.manifest import read_manifest

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
EDGE = 128
"""Voxels of a block along each axis; a smaller head gives what it has."""
FACTOR = 2
Degradation = Literal["box", "kspace", "1.5t"]
DEGRADATIONS: tuple[Degradation, ...] = ("box", "kspace", "1.5t")


@dataclass(frozen=True)
class Case:
    """The centre block of one test volume, coarse along two ``directions``; equal cases give equal figures."""

    subject: str
    file: str
    sha256: str
    modality: str
    directions: tuple[str, str]
    degradation: Degradation

    @property
    def kind(self) -> str:
        """What was done to the truth, in words."""
        return f"in plane x{FACTOR}, {self.degradation}"

    @property
    def name(self) -> str:
        """Subject, kind and directions."""
        return f"{self.subject} {self.kind} {' '.join(self.directions)}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**asdict(self), "directions": list(self.directions)}


def enhance_cases(data: Path) -> list[Case]:
    """Every subject of the ``test`` split with two fine directions, by each degradation, along the first two of them.

    Raises :class:`InputError` without such subjects.
    """
    found = []
    for row in read_manifest(data):
        if row["split"] != "test" or not row["file"].startswith("test/"):
            continue
        fine = fine_directions(row)
        if len(fine) > 1:
            place = row["subject"], row["file"], row["sha256"], row["modality"]
            found += [Case(*place, (fine[0], fine[1]), degradation) for degradation in DEGRADATIONS]
    if not found:
        raise InputError(f"{data}: manifest.csv lists no test volume with two fine axes; give another --data")
    return found
