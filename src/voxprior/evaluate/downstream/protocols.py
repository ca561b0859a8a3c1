"""Which test volumes are divided into tissues."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.evaluate.manifest import read_manifest
from voxprior.evaluate.sr.protocols import Case as Thickened
from voxprior.evaluate.sr.protocols import sr_cases

PROTOCOL = 2
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
FACTORS = (5, 2)
STRIPPED = "stripped"
"""What the manifest says of the skull of a volume that is brain alone."""


@dataclass(frozen=True)
class Case:
    """A test volume of a brain without skull, in slices ``factor`` voxels thick."""

    subject: str
    file: str
    sha256: str
    modality: str
    direction: str
    factor: int

    @property
    def kind(self) -> str:
        """What was done to the truth, in words."""
        return f"x{self.factor} box"

    @property
    def name(self) -> str:
        """Subject, kind and direction."""
        return f"{self.subject} {self.kind} {self.direction}"

    def thickened(self) -> Thickened:
        """The case of the through-plane evaluation that makes the slices."""
        return Thickened(self.subject, self.file, self.sha256, self.modality, "", self.direction, self.factor)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def tissue_cases(data: Path) -> list[Case]:
    """Cases of every stripped test subject along its first fine direction; :class:`InputError` without any."""
    stripped = {row["file"] for row in read_manifest(data) if row.get("skull", "").strip() == STRIPPED}
    first = {case.subject: case for case in reversed(sr_cases(data)) if case.file in stripped}
    if not first:
        raise InputError(f"{data}: manifest.csv lists no test volume whose skull is {STRIPPED}; give another --data")
    return [
        Case(c.subject, c.file, c.sha256, c.modality, c.direction, factor)
        for c in reversed(first.values())
        for factor in FACTORS
    ]
