"""Pictures of a run on its way, beside its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from voxprior.io.outputs import Transaction, sibling
from voxprior.report.slices import slice_picture, slices_picture


def write_snapshots(
    out: Transaction, target: Path, snapshots: Mapping[int, tuple[Tensor, ...]], affine: NDArray[np.float64]
) -> list[str]:
    """Write ``OUT_step-00100.png`` and so on for the middle slices after so many calls; return the names.

    ``snapshots``: a slice normal to each array axis of the grid with this affine, or one slice (y, x) alone; complex
    ones are shown by magnitude.
    """
    names = []
    for index, slices in snapshots.items():
        path = sibling(target, _name(index), ".png")
        out.path(path).write_bytes(_picture(slices, affine))
        names.append(path.name)
    return names


def write_pictures(
    folder: Path, snapshots: Mapping[int, tuple[Tensor, ...]], affine: NDArray[np.float64]
) -> list[str]:
    """The same into the folder of a DICOM series, as ``step-00100.png`` and so on."""
    names = []
    for index, slices in snapshots.items():
        names.append(f"{_name(index)}.png")
        (folder / names[-1]).write_bytes(_picture(slices, affine))
    return names


def _name(index: int) -> str:
    return f"step-{index:05d}"


def _picture(slices: tuple[Tensor, ...], affine: NDArray[np.float64]) -> bytes:
    arrays = [(part.abs() if part.is_complex() else part).float().numpy(force=True) for part in slices]
    return slice_picture(arrays[0]) if len(arrays) == 1 else slices_picture(arrays, affine)
