"""Which test volumes are given lesions, and how many times."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxprior.evaluate.sr.protocols import Case as Thickened
from voxprior.evaluate.sr.protocols import sr_cases

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
EDGE = 128
"""Edge of the block from the middle of the head, voxels."""
MIDDLE = 3
"""Number of that block."""
DIAMETERS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
"""Of the sphere of the same volume, mm."""
COPIES = 8
"""Most lesions of a size in one volume."""
MULTIPLE = 2.0
"""Contrast of a lesion, in local standard deviations of the truth."""
ROUNDS, FEW = 4, 1
"""Times that a volume is filled with lesions anew; as often for methods that take long."""
FACTORS = (5, 2)


@dataclass(frozen=True)
class Case:
    """A block of a test volume in slices ``factor`` voxels thick, filled with lesions ``rounds`` times."""

    subject: str
    file: str
    sha256: str
    modality: str
    direction: str
    factor: int
    rounds: int

    @property
    def kind(self) -> str:
        """What was done to the truth, in words."""
        return f"x{self.factor} box"

    @property
    def name(self) -> str:
        """Subject, kind, how often, and direction."""
        return f"{self.subject} {self.kind} {self.rounds} times {self.direction}"

    def thickened(self) -> Thickened:
        """The case of the through-plane evaluation that makes the slices."""
        whole = (self.subject, self.file, self.sha256, self.modality, "", self.direction, self.factor)
        return Thickened(*whole, crop=MIDDLE)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def lesion_cases(data: Path) -> list[Case]:
    """Cases of every test subject along its first fine direction; raises :class:`InputError` without subjects."""
    first = {case.subject: case for case in reversed(sr_cases(data))}
    return [
        Case(c.subject, c.file, c.sha256, c.modality, c.direction, factor, rounds)
        for c in reversed(first.values())
        for factor, rounds in ((FACTORS[0], ROUNDS), (FACTORS[0], FEW), (FACTORS[1], ROUNDS))
    ]
