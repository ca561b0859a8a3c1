"""Which test volumes are thickened how: every case of the through-plane evaluation, and how it is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from voxprior.errors import InputError
from voxprior.evaluate.directions import fine_directions
from voxprior.evaluate.manifest import read_manifest

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
CROP = 96
"""Edge of the blocks on which posterior samples are drawn, voxels."""
CROPS = 2
TIMED_VOXELS = 170 * 200 * 140
"""The subject closest to this size has its first x5 case timed several times."""
TIMED_REPEATS = 3


@dataclass(frozen=True)
class Case:
    """One thickened volume, without its pixels; equal cases give equal figures.

    ``factor``: slice distance in voxels. ``fill``: thickness / distance. ``profile`` made the slices,
    ``assumed`` is told to the methods. ``source``: the truth is constant in each voxel, or a cubic spline
    through the voxels. ``crop``: 0 for the whole volume, else the number of the block. ``group``: how the
    subject relates to training.
    """

    subject: str
    file: str
    sha256: str
    modality: str
    group: str
    direction: str
    factor: int
    profile: str = "box"
    assumed: str = "box"
    fill: float = 1.0
    source: Literal["voxels", "spline"] = "voxels"
    crop: int = 0
    repeats: int = 1

    @property
    def kind(self) -> str:
        """What was done to the truth, in words: the row of a table."""
        words = f"x{self.factor} {self.profile}"
        if self.assumed != self.profile:
            words += f", {self.assumed} assumed"
        if self.fill != 1:
            words += f", gap {1 - self.fill:.0%}"
        if self.source == "spline":
            words += ", spline truth"
        return words + (", block" if self.crop else "")

    @property
    def name(self) -> str:
        """Subject, kind and direction."""
        return f"{self.subject} {self.kind}{self.crop or ''} {self.direction}"

    @property
    def told_right(self) -> bool:
        """Whether the assumed profile is the true one."""
        return self.assumed == self.profile

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def sr_cases(data: Path) -> list[Case]:
    """Every case of the ``test`` split of ``data``/manifest.csv, subject by subject.

    Each subject: x2, x3, x4, x5, x8 box; x5 Gaussian (FWHM = thickness); x4 with a gap of a quarter; x5
    Gaussian where a box is assumed; x5 box of a spline truth; blocks at x5 box. All along A-P where that
    direction is fine, else along the first fine one; x5 box along every fine direction. Raises
    :class:`InputError` without such subjects.
    """
    rows = read_manifest(data)
    trained = {r["sequence_field_scanner"] for r in rows if r["split"] == "train"}
    subjects = [r for r in rows if r["split"] == "test" and r["file"].startswith("test/") and fine_directions(r)]
    if not subjects:
        raise InputError(f"{data}: manifest.csv lists no test volume with fine_axes; give another --data")
    timed = min(subjects, key=lambda r: abs(_voxels(r) - TIMED_VOXELS))
    return [
        case
        for row in subjects
        for case in _of_subject(row, _group(row, trained), TIMED_REPEATS if row is timed else 1)
    ]


def _of_subject(row: dict[str, str], group: str, repeats: int) -> Iterator[Case]:
    fine = fine_directions(row)
    first = "A-P" if "A-P" in fine else fine[0]
    base = Case(row["subject"], row["file"], row["sha256"], row["modality"], group, first, 5)
    yield replace(base, repeats=repeats)
    for direction in fine:
        if direction != first:
            yield replace(base, direction=direction)
    for factor in (2, 3, 4, 8):
        yield replace(base, factor=factor)
    yield replace(base, profile="gaussian", assumed="gaussian")
    yield replace(base, profile="gaussian")
    yield replace(base, factor=4, fill=0.75)
    yield replace(base, source="spline")
    for number in range(1, CROPS + 1):
        yield replace(base, crop=number)


def _voxels(row: dict[str, str]) -> int:
    sizes = [int(n) for n in row["shape"].split("x")]
    return sizes[0] * sizes[1] * sizes[2]


def _group(row: dict[str, str], trained: set[str]) -> str:
    if row["modality"] != "T1w":
        return "other contrasts"
    scanner = row["sequence_field_scanner"]
    known = scanner in trained and not scanner.startswith("unknown")
    return "T1w, scanners of the training data" if known else "T1w, other scanners"
