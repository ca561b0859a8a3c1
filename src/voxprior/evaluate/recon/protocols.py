"""Which slices are undersampled by which masks: every case of the k-space evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from voxprior.errors import InputError
from voxprior.evaluate.directions import fine_directions
from voxprior.evaluate.manifest import Row, read_manifest

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
COILS = 8
"""Simulated coils of a test subject."""
OTHER_COILS = ((6, 0), (20, 160))
"""Simulated coils and matrix of the subjects of another anatomy, in turn: numbers that no other case has.

The second is cut out of a body: within a larger matrix it has air around it, as every field of view must.
"""
TIMED_COILS, TIMED_MATRIX, TIMED_REPEATS = 15, 320, 3

REAL = "real head, 8 coils"
PHASE = "real phase, one coil"
SIMULATED = "simulated coils"
OTHER = "anatomy never trained on"
TIMED = "15 coils, 320 x 320"
UNDERSAMPLED = "undersampled by the scanner"
STACK = "one coil, no noise, stack of slices"
TUNE = "tune subjects"
GROUPS = (SIMULATED, REAL, PHASE, STACK, OTHER, TIMED)
"""Where a truth is known, in the order of the page."""


class Sampling(NamedTuple):
    """A mask by family, nominal acceleration and central lines, see :func:`voxprior.operators.masks.make_mask`."""

    family: str
    acceleration: float
    acs: int


SAMPLINGS = (
    *(Sampling("uniform", r, 24) for r in (4, 8, 10, 12)),
    *(Sampling("poisson", r, 24) for r in (4, 8, 10, 12)),
    # N / R lines in all must hold the central ones: 24 of them would be more than an eighth of these matrices.
    Sampling("random-uniform", 4, 16),
    Sampling("random-uniform", 8, 12),
)
"""Masks of simulated coils and of the real head."""
RADIAL = Sampling("radial", 8, 24)
"""A mask unlike those of lines and discs, on the real head."""
ONE_COIL = (
    *(Sampling("uniform", 4, 24), Sampling("poisson", 4, 24), Sampling("poisson", 8, 24)),
    Sampling("poisson", 24, 16),
    SAMPLINGS[-2],
)
STACKED = (Sampling("poisson", 8, 16), Sampling("poisson", 24, 16))
"""Masks of stacks: those of compressed sensing, for what looks across the slices."""
STACK_SLICES, STACK_SUBJECTS, TUNE_SLICES = 16, 2, 3
"""Slices of a stack, how many subjects (the smallest) have one, and slices on which settings are chosen."""
SMALL = (Sampling("uniform", 4, 12), Sampling("uniform", 8, 12), Sampling("poisson", 8, 12))
"""Masks of the small matrices of another anatomy."""


@dataclass(frozen=True)
class Case:
    """One undersampled slice, without its pixels; equal cases give equal figures.

    ``source``: coil images, one complex image, a slice of a volume that gets phase, coils and noise (of a CT volume
    after windowing), k-space without a truth, or a stack of ``slices`` of a volume. ``direction``: normal of the slice
    of a volume. ``matrix``: side of the square that a slice is cut or padded to, 0 for none. ``group``: where on the
    page.
    """

    subject: str
    file: str
    sha256: str
    group: str
    source: Literal["coils", "complex", "slice", "ct", "kspace", "stack"]
    mask: str = ""
    acceleration: float = 0
    acs: int = 0
    direction: str = ""
    coils: int = 0
    matrix: int = 0
    repeats: int = 1
    slices: int = 1

    @property
    def kind(self) -> str:
        """The mask in words; its nominal acceleration, which its name has, not the true one."""
        return f"{self.mask} R = {self.acceleration:g}, ACS {self.acs}" if self.mask else "as measured"

    @property
    def name(self) -> str:
        """Slice, kind, and what is special of the matrix."""
        part = Path(self.file).stem.removeprefix(self.subject).strip("_") if self.source == "complex" else ""
        words = f"{self.subject}{' ' + part if part else ''} {self.kind}"
        words += f", {self.coils} coils, {self.matrix} x {self.matrix}" if self.matrix else ""
        words += f", {self.slices} slices" if self.slices > 1 else ""
        return f"{words} {self.direction}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; a single slice does not say so, that keys from before there were stacks hold."""
        return {name: value for name, value in asdict(self).items() if name != "slices" or value > 1}


def recon_cases(data: Path) -> list[Case]:
    """Every case with a truth, of the ``test`` split of ``data``/manifest.csv, slice by slice.

    Simulated coils on a slice of each test subject, normal to a direction such that both others are fine; real coil
    images; complex images of one coil; stacks of slices as one coil would see them; CT slices as another anatomy, with
    other numbers of coils; and one large slice of 15 coils for the time. Raises :class:`InputError` without test
    subjects.
    """
    rows = [row for row in read_manifest(data) if row["split"] == "test"]
    heads = [row for row in rows if row["file"].startswith("test/") and normal_of(row)]
    if not heads:
        raise InputError(f"{data}: manifest.csv lists no test volume with two fine_axes; give another --data")
    return [
        *(case for row in heads for case in _of_volume(row, SIMULATED, "slice", normal_of(row), COILS, SAMPLINGS)),
        *(case for row in _kspace(rows, "multi-coil") for case in _of_kspace(row, REAL, "coils", (*SAMPLINGS, RADIAL))),
        *(case for row in _kspace(rows, "complex") for case in _of_kspace(row, PHASE, "complex", ONE_COIL)),
        *(case for row in sorted(heads, key=_pixels)[:STACK_SUBJECTS] for case in _stacks(row, STACK, STACK_SLICES)),
        *_other_anatomy(rows),
        _timed(heads),
    ]


def undersampled_cases(data: Path) -> list[Case]:
    """K-space that a scanner undersampled: nothing to compare with."""
    rows = [row for row in read_manifest(data) if row["split"] == "test"]
    return [
        Case(row["subject"], row["file"], row["sha256"], UNDERSAMPLED, "kspace")
        for row in rows
        if row["file"].startswith("kspace/") and row["modality"] == "multi-coil k-space"
    ]


def _of_volume(
    row: Row,
    group: str,
    source: Literal["slice", "ct", "stack"],
    normal: str,
    coils: int,
    samplings: tuple[Sampling, ...],
) -> Iterator[Case]:
    for s in samplings:
        yield Case(row["subject"], row["file"], row["sha256"], group, source, *s, direction=normal, coils=coils)


def _stacks(row: Row, group: str, slices: int) -> Iterator[Case]:
    for case in _of_volume(row, group, "stack", normal_of(row), 1, STACKED):
        yield replace(case, slices=slices)


def _of_kspace(
    row: Row, group: str, source: Literal["coils", "complex"], samplings: tuple[Sampling, ...]
) -> Iterator[Case]:
    for s in samplings:
        yield Case(row["subject"], row["file"], row["sha256"], group, source, *s)


def _other_anatomy(rows: list[Row]) -> Iterator[Case]:
    scans = [row for row in rows if row["file"].startswith("ct/")]
    for number, row in enumerate(scans):
        coils, matrix = OTHER_COILS[number % len(OTHER_COILS)]
        for case in _of_volume(row, OTHER, "ct", "I-S", coils, SMALL):
            yield replace(case, matrix=matrix)


def _timed(heads: list[Row]) -> Case:
    """The slice nearest to the timed matrix in size, brought to it."""
    row = min(heads, key=lambda r: abs(_pixels(r) - TIMED_MATRIX**2))
    return Case(
        row["subject"], row["file"], row["sha256"], TIMED, "slice", *Sampling("uniform", 8, 24),
        direction=normal_of(row), coils=TIMED_COILS, matrix=TIMED_MATRIX, repeats=TIMED_REPEATS,
    )  # fmt: skip


def _pixels(row: Row) -> float:
    """Pixels of a slice, roughly: which axis is the normal is not known before the file is read."""
    sizes = [int(n) for n in row["shape"].split("x")]
    return float(np.prod(sizes) ** (2 / 3))


def normal_of(row: Row) -> str:
    """The direction whose both others are fine, foot-head first; "" if there is none."""
    fine = set(fine_directions(row))
    return next((d for d in ("I-S", "L-R", "A-P") if len(fine - {d}) == 2), "")


def _kspace(rows: list[Row], modality: str) -> list[Row]:
    """Rows of the k-space folder of one kind: ``multi-coil`` for coil images, ``complex`` for combined ones."""
    words = {"multi-coil": ("multi-coil",), "complex": ("complex image (coil-combined)",)}[modality]
    return [row for row in rows if row["file"].startswith("kspace/") and row["modality"] in words]


def tune_cases(data: Path) -> list[Case]:
    """Cases of the subjects that settings may be chosen on, by the masks of the test cases: with coils, and with one.

    For the weights of other tools; nothing of ours is chosen on them by the evaluation.
    """
    rows = [row for row in read_manifest(data) if row["split"] == "train" and row.get("role") == "tune"]
    chosen = [row for row in rows if normal_of(row)]
    return [
        *(c for row in chosen for c in _of_volume(row, TUNE, "slice", normal_of(row), COILS, (*SAMPLINGS, RADIAL))),
        *(case for row in chosen for case in _of_volume(row, TUNE, "slice", normal_of(row), 1, ONE_COIL)),
        *(case for row in chosen for case in _stacks(row, TUNE, TUNE_SLICES)),
    ]
