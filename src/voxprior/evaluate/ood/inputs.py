"""What is scored: scans as thick slices, and things that are no such scans, made from them or given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.evaluate.directions import array_axis, fine_directions
from voxprior.evaluate.manifest import Row, checked, read_manifest
from voxprior.io.background import estimate_background_noise
from voxprior.io.nifti import read_volume
from voxprior.jobs.options import SrOptions
from voxprior.jobs.simulate import simulate
from voxprior.jobs.slices import understand
from voxprior.jobs.sr import restore_slices
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.bound import BoundPrior
from voxprior.priors.denoiser import SlicePrior
from voxprior.volume import Volume, fine_affine

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
FACTORS = (3, 5)
"""Slice distances in voxels."""
BLOCK = 96
"""Edge of the block from the middle of a volume that is calibrated on too: users give parts of a head."""
RESTORED_BLOCK = 128
"""Edge of what is restored and then given again, for time."""
RESTORED = 5
"""Factor of what was restored before."""
PIECE = 16
"""Edge of the blocks that are shuffled, voxels."""
COARSER = 3
SCAN, AGAIN = "scan", "already restored"

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A thick-slice input: ``kind``, the volume that it is made from, and its slice distance in voxels.

    ``block``: edge of what is taken from the middle of the volume; 0 for all of it.
    """

    subject: str
    file: str
    sha256: str
    direction: str
    kind: str
    factor: int
    block: int = 0

    @property
    def name(self) -> str:
        """Kind, volume and factor."""
        return f"{self.kind} {self.subject} x{self.factor}" + (f" block {self.block}" if self.block else "")

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def train_cases(data: Path) -> list[Case]:
    """Scans of the train split, whole and a block of each, at every factor; raises :class:`InputError` without any."""
    rows = [r for r in read_manifest(data) if r["split"] == "train" and r["file"].startswith("train/")]
    cases = [c for row in rows if fine_directions(row) for c in (*_cases(row, SCAN), *_cases(row, SCAN, BLOCK))]
    if not cases:
        raise InputError(f"{data}: manifest.csv lists no training volume with fine_axes; give another --data")
    return cases


def test_cases(data: Path) -> list[Case]:
    """Test scans as they are and spoilt in every way of :data:`SPOILT`, CT volumes and label maps."""
    rows = read_manifest(data)
    cases: list[Case] = []
    for row in rows:
        if row["split"] == "test" and row["file"].startswith("test/") and fine_directions(row):
            for kind in (SCAN, *SPOILT):
                cases += _cases(row, kind, RESTORED_BLOCK if kind == AGAIN else 0)
        elif row["file"].startswith("ct/"):
            cases += _cases(row, "abdomen CT" if "abdomen" in row["subject"] else "CT given as MR")
        elif row["file"].startswith("labels/"):
            cases += _cases(row, "label map")
    if not any(case.kind == SCAN for case in cases):
        raise InputError(f"{data}: manifest.csv lists no test volume with fine_axes; give another --data")
    return cases


def prepare(data: Path, case: Case) -> tuple[Volume, SrOptions]:
    """The thick slices of ``case``, and the options that tell how they are."""
    volume = read_volume(checked(data, case.file, case.sha256))
    axis = array_axis(volume, case.direction) if case.direction else 2
    block = _middle(volume, case.block)
    if case.kind in SPOILT:
        return SPOILT[case.kind](block, axis, case.factor)
    return _thick(block, axis, case.factor)


def bind(volume: Volume, options: SrOptions, prior: SlicePrior) -> BoundPrior:
    """The prior on ``volume`` as the job ``sr`` binds it."""
    g = understand(volume, options)
    y = torch.from_numpy(np.ascontiguousarray(volume.data).copy())[None]
    operator = Separable.from_slices(g, volume.data.shape)
    noise = estimate_background_noise(volume.data)
    return BoundPrior(prior, Measurement(operator, y, noise, fine_affine(volume.affine, g)))


def _cases(row: Row, kind: str, block: int = 0) -> Iterator[Case]:
    fine = fine_directions(row)
    direction = ("A-P" if "A-P" in fine else fine[0]) if fine else ""
    for factor in FACTORS:
        yield Case(row["subject"], row["file"], row["sha256"], direction, kind, factor, block)


def _middle(volume: Volume, edge: int) -> Volume:
    if not edge:
        return Volume(volume.data, volume.affine, {}, volume.source)
    window = tuple(slice(max(0, (n - edge) // 2), max(0, (n - edge) // 2) + edge) for n in volume.data.shape)
    return Volume(volume.data[window], volume.affine, {}, volume.source)


def _thick(volume: Volume, axis: int, factor: float) -> tuple[Volume, SrOptions]:
    made = simulate(volume, SrOptions(axis="ijk"[axis]), factor)
    return made.measurement, made.options


def _noise(volume: Volume, axis: int, factor: int) -> tuple[Volume, SrOptions]:
    """A magnitude image of noise alone on the grid of the scan."""
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, *volume.data.shape), dtype=np.float32)
    return _thick(Volume(100 * np.hypot(*parts), volume.affine), axis, factor)


def _coarser(volume: Volume, axis: int, factor: int) -> tuple[Volume, SrOptions]:
    """Voxels three times larger: the mean of each 3 x 3 x 3."""
    shape = [n // COARSER for n in volume.data.shape]
    data: Array = volume.data[tuple(slice(0, n * COARSER) for n in shape)]
    blocks = data.reshape(shape[0], COARSER, shape[1], COARSER, shape[2], COARSER)
    affine = volume.affine.copy()
    affine[:3, :3] *= COARSER
    return _thick(Volume(blocks.mean(axis=(1, 3, 5)), affine), axis, factor)


def _shuffled(volume: Volume, axis: int, factor: int) -> tuple[Volume, SrOptions]:
    """Blocks of the scan in another order."""
    shape = [n // PIECE for n in volume.data.shape]
    data = volume.data[tuple(slice(0, n * PIECE) for n in shape)]
    blocks = data.reshape(shape[0], PIECE, shape[1], PIECE, shape[2], PIECE).transpose(0, 2, 4, 1, 3, 5)
    mixed = np.random.default_rng(0).permutation(blocks.reshape(-1, PIECE, PIECE, PIECE)).reshape(blocks.shape)
    whole = mixed.transpose(0, 3, 1, 4, 2, 5).reshape([n * PIECE for n in shape])
    return _thick(Volume(np.ascontiguousarray(whole), volume.affine), axis, factor)


def _restored(volume: Volume, axis: int, factor: int) -> tuple[Volume, SrOptions]:
    """The result of an earlier restoration, to be restored again to voxels ``factor`` times finer."""
    thick, options = _thick(volume, axis, RESTORED)
    again = restore_slices(thick, options).image
    again = Volume(again.data, again.affine)
    return again, SrOptions(axis="ijk"[axis], spacing=again.spacing[axis] / factor)


SPOILT: Mapping[str, Callable[[Volume, int, int], tuple[Volume, SrOptions]]] = {
    "noise": _noise,
    "resampled x3": _coarser,
    "shuffled blocks": _shuffled,
    AGAIN: _restored,
}
"""What is made of a test scan."""
