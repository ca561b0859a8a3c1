"""Blocks of the training volumes that generated ones are compared with, and of volumes that were left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxprior.errors import InputError
from voxprior.evaluate.generate.statistics import Block, Statistics, average, describe
from voxprior.evaluate.manifest import Row, checked, read_manifest
from voxprior.evaluate.sr.degrade import block
from voxprior.evaluate.store import key_of
from voxprior.io.nifti import read_volume
from voxprior.metrics import foreground
from voxprior.priors.bound import frame
from voxprior.priors.intensity import intensity_scale

SPACING, SLACK = 1.0, 0.15
"""Voxel size of what is compared, mm, and how far a volume's may be from it: a spectrum is one by voxels."""
BLOCKS = (1, 2, 3)
"""Of each volume: both ends of the longest side of the foreground, and its middle; see
:func:`voxprior.evaluate.sr.degrade.block`. A generated block may be of any part of a head."""


@dataclass(frozen=True, eq=False)
class Reference:
    """``fit``: blocks of the volumes trained on; ``left_out``: of others of the train split.

    ``mean``: of the statistics of the former. ``digest``: of the files.
    """

    fit: tuple[Block, ...]
    left_out: tuple[Block, ...]
    mean: Statistics
    digest: str


def rows_of(data: Path) -> list[Row]:
    """MR volumes of the train split with voxels of about 1 mm; raises :class:`InputError` without any to fit."""
    rows = [r for r in read_manifest(data) if r["split"] == "train" and r["file"].startswith("train/") and _sized(r)]
    if not any(_fit(row) for row in rows):
        raise InputError(f"{data}: manifest.csv lists no training volume with voxels of {SPACING:g} mm; give another")
    return rows


def digest(rows: list[Row]) -> str:
    """Of the files behind the statistics."""
    return key_of({row["file"]: row["sha256"] for row in rows})


def read_reference(data: Path, edge: int) -> Reference:
    """Blocks of ``edge`` voxels of every volume of :func:`rows_of` that is as large."""
    rows = rows_of(data)
    fit, left_out = list[Block](), list[Block]()
    for row in rows:
        (fit if _fit(row) else left_out).extend(_blocks(checked(data, row["file"], row["sha256"]), edge))
    if not fit:
        raise InputError(f"no training volume holds a block of {edge} voxels; give a smaller --edge")
    return Reference(tuple(fit), tuple(left_out), average([describe(b) for b in fit]), digest(rows))


def _fit(row: Row) -> bool:
    return row.get("role", "fit") == "fit"


def _sized(row: Row) -> bool:
    sizes = [float(text) for text in row.get("voxel_mm", "").split("x") if text]
    return len(sizes) == 3 and all(abs(size - SPACING) <= SLACK for size in sizes)


def _blocks(path: Path, edge: int) -> list[Block]:
    """In RAS order on the priors' intensity scale; none if the volume is smaller."""
    volume = read_volume(path)
    place = frame(volume.affine)
    values = np.ascontiguousarray(np.flip(volume.data, place.flips).transpose(np.argsort(place.world)))
    if min(values.shape) < edge:
        return []
    inside, scale = foreground(values), np.float32(intensity_scale(values))
    return [values[tuple(block(inside, number, edge))] / scale for number in BLOCKS]
