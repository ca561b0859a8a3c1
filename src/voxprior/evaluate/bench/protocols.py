"""The bench tests."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
NOISE = 0.03
"""Std of the noise of the slices, part of the value of the phantom."""
NOISE_DRAWS, DISC_DRAWS = 4, 6
EDGE: Literal["edge"] = "edge"
WHITE: Literal["noise"] = "noise"
DISC: Literal["disc"] = "disc"


@dataclass(frozen=True)
class Case:
    """``contrast``: of interface or discs, part of the value of the phantom; ``diameter``, ``thick``: of discs, mm."""

    test: Literal["edge", "noise", "disc"]
    contrast: float = 0.0
    diameter: float = 0.0
    thick: float = 0.0

    @property
    def kind(self) -> str:
        """The test in words."""
        if self.test == EDGE:
            return f"edge of {self.contrast:.0%}"
        if self.test == WHITE:
            return f"noise of {NOISE:.0%}"
        return f"discs of {self.diameter:g} x {self.thick:g} mm, {self.contrast:.1%}"

    @property
    def name(self) -> str:
        """The test in words: there is one phantom."""
        return f"phantom {self.kind}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def bench_cases() -> list[Case]:
    """Interfaces of two contrasts, for methods that are not linear; noise; discs of two sizes."""
    return [
        Case(EDGE, 0.5),
        Case(EDGE, 0.1),
        Case(WHITE),
        Case(DISC, 0.015, 8.0, 5.0),
        Case(DISC, 0.03, 4.0, 3.0),
    ]
