"""Which blocks of CT volumes are measured by which views: every case of the X-ray evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from voxprior.errors import InputError
from voxprior.evaluate.manifest import Row, read_manifest

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
SLICES, FEW_SLICES = 24, 16
"""Axial slices of a block, and of the block on which methods run that take minutes a slice."""
TUNE_SLICES = 4
MIDDLE, TOP_FIFTH = 0.5, 0.9
"""Where the middle of a block lies between feet (0) and head (1): half way, or within the uppermost fifth."""
PHANTOM = "phantom"
"""The subject whose views are closed forms."""


class Views(NamedTuple):
    """``views`` angles evenly over ``range_deg`` degrees; ``photons`` a bin in air, None without noise."""

    views: int
    range_deg: float = 180.0
    photons: float | None = None


SPARSE, NOISY = Views(36), Views(36, photons=1e5)
SETTINGS = (SPARSE, Views(18), Views(60, 120.0), NOISY)


@dataclass(frozen=True)
class Case:
    """Views of one block of axial slices, without its pixels; equal cases give equal figures.

    ``part``: of the body. ``centre``: place of the block between feet and head, 0 to 1. ``block``: the one that slow
    methods run on. The subject :data:`PHANTOM` has no file.
    """

    subject: str
    file: str
    sha256: str
    part: str
    views: int
    range_deg: float
    photons: float | None
    slices: int = SLICES
    centre: float = MIDDLE

    @property
    def setting(self) -> str:
        """The views in words."""
        words = f"{self.views} views"
        if self.range_deg != 180:
            words += f" over {self.range_deg:g} degrees"
        return words + (f", {self.photons:.0e} photons".replace("e+0", "e") if self.photons else "")

    @property
    def block(self) -> bool:
        """Whether this is the smaller block."""
        return self.slices == FEW_SLICES and self.subject != PHANTOM

    @property
    def kind(self) -> str:
        """The views, and what is special of the slices: the row of a table."""
        return self.setting + (f", block of {self.slices} slices" if self.block else "")

    @property
    def name(self) -> str:
        """Subject and kind."""
        return f"{self.subject} {self.kind}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def ct_cases(data: Path) -> list[Case]:
    """Every case of the CT volumes in the ``test`` split of ``data``/manifest.csv, and of the analytic phantom.

    36 and 18 views over 180 degrees, 60 over 120, and 36 with photons, of a block of slices half way up; 36 views of a
    smaller block. Raises :class:`InputError` without such volumes.
    """
    rows = _volumes(data, "test")
    return [*(case for row in rows for case in _of_volume(row)), *phantom_cases()]


def phantom_cases() -> list[Case]:
    """The analytic phantom, whose views no projector of this package had a hand in."""
    return [Case(PHANTOM, "", "", "ellipsoids, closed form", *views, FEW_SLICES) for views in (SPARSE, NOISY)]


def tune_cases(data: Path) -> list[Case]:
    """Blocks that settings may be chosen on: the top fifth of the CT volumes of the ``train`` split."""
    rows = _volumes(data, "train")
    return [_case(row, views, TUNE_SLICES, TOP_FIFTH) for row in rows for views in SETTINGS]


def _volumes(data: Path, split: str) -> list[Row]:
    rows = [row for row in read_manifest(data) if row["split"] == split and row["file"].startswith("ct/")]
    if not rows:
        raise InputError(f"{data}: manifest.csv lists no CT volume of the {split} split; give another --data")
    return rows


def _of_volume(row: Row) -> Iterator[Case]:
    for views in SETTINGS:
        yield _case(row, views, SLICES, MIDDLE)
    yield _case(row, SPARSE, FEW_SLICES, MIDDLE)


def _case(row: Row, views: Views, slices: int, centre: float) -> Case:
    part = row.get("skull") or "body"
    return Case(row["subject"], row["file"], row["sha256"], part, *views, slices, centre)
