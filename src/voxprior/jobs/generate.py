"""``voxprior generate``: volumes that were never measured, from the prior alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.io.dicom import SYNTHETIC, Derivation
from voxprior.io.outputs import Transaction, sibling, sidecar_path, voxel_digest, write_json, write_volume
from voxprior.jobs.dicom_files import PREVIEW, SIDECAR, in_new_study, publish_series, write_images
from voxprior.jobs.files import Written, publish
from voxprior.jobs.generate_request import GenerateRequest, Prepared
from voxprior.jobs.job import Run, peak_memory, run_method
from voxprior.jobs.options import GenerateOptions
from voxprior.jobs.scenes import made_scene
from voxprior.jobs.sidecar import settings, sidecar
from voxprior.jobs.snapshots import write_pictures, write_snapshots
from voxprior.methods.result import Progress, Result
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.report.slices import planes_picture
from voxprior.volume import Volume

if TYPE_CHECKING:
    from voxprior.report.scene import Scene

REASON = "nothing was measured: the volume was made from the prior alone"
"""Why there is no certificate."""


@dataclass(frozen=True, eq=False)
class Generated:
    """Volumes of one grid, and what the sidecar tells of the run."""

    volumes: tuple[Volume, ...]
    result: Result
    seconds: float
    peak_memory: int | None

    @property
    def calls(self) -> int:
        """Of the network."""
        return self.result.calls

    @property
    def weights(self) -> Any:
        """Name and sha256."""
        return self.result.weights

    @property
    def notes(self) -> Any:
        """Settings as they were resolved."""
        return self.result.notes

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences."""
        return self.result.warnings


def generate(
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    options: GenerateOptions,
    progress: Progress | None = None,
) -> Generated:
    """Make ``options.samples`` volumes of ``shape``; the same seed makes the same voxels.

    Raises :class:`InputError` for an unknown method, and for options that do not belong together.
    """
    nothing = Separable({2: np.zeros((0, shape[2]))}, shape)
    y = torch.zeros(1, *shape[:2], 0)
    found: Run = run_method("generate", Measurement(nothing, y, None, affine), options, progress)
    samples = found.result.samples
    images = found.result.mean[None] if samples is None else samples
    volumes = tuple(Volume(image.numpy(force=True), affine) for image in images)
    return Generated(volumes, found.result, found.seconds, peak_memory())


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Make what was ``prepared`` and write the outputs, atomically."""
    request = prepared.request
    if request.dicom.dicom:
        return publish_series(request, lambda folder: _write_series(prepared, folder, progress))
    return publish(request, [], [request.target], lambda out: [_write(prepared, out, progress)])


def _write(prepared: Prepared, out: Transaction, progress: Progress | None) -> Written:
    request: GenerateRequest = prepared.request
    target = request.target
    made = generate(prepared.shape, prepared.affine, request.options, progress)
    names = [target.name]
    write_volume(out.path(target), made.volumes[0])
    if len(made.volumes) > 1:
        for k, volume in enumerate(made.volumes, 1):
            path = sibling(target, f"sample-{k:02d}")
            write_volume(out.path(path), volume)
            names.append(path.name)
    picture = _picture(made)
    shot = sibling(target, "preview", ".png")
    out.path(shot).write_bytes(picture)
    names += [shot.name, *write_snapshots(out, target, made.result.snapshots, prepared.affine)]
    values = _values(request, made, names)
    write_json(out.path(sidecar_path(target)), values)
    return Written(target, values, picture, _scene(request, made))


def _write_series(prepared: Prepared, folder: Path, progress: Progress | None) -> Written:
    """The same into a folder of DICOM, in a study that is nobody's."""
    request, options = prepared.request, prepared.request.options
    made = generate(prepared.shape, prepared.affine, options, progress)
    first = made.volumes[0]
    source = in_new_study(request, first, "MR", voxel_digest(first), MRAcquisitionType="3D")
    told = {**settings(options), **made.notes}
    derivation = Derivation(_description(made, options), told, notice=SYNTHETIC)
    more = made.volumes if len(made.volumes) > 1 else ()
    samples = ((f"sample-{k:02d}", volume) for k, volume in enumerate(more, 1))
    _, names = write_images(request, folder, first, samples, source, derivation)
    picture = _picture(made)
    (folder / PREVIEW).write_bytes(picture)
    names += [PREVIEW, *write_pictures(folder, made.result.snapshots, prepared.affine)]
    values = _values(request, made, names)
    write_json(folder / SIDECAR, values)
    return Written(request.target, values, picture, _scene(request, made))


def _description(made: Generated, options: GenerateOptions) -> str:
    weights = "" if made.weights is None else f", weights {made.weights['name']}"
    return (
        f"Made by Voxprior from a learned prior alone, method {options.method}{weights}, seed {options.seed}: "
        "nothing was measured, and the image shows no one"
    )


def _picture(made: Generated) -> bytes:
    return planes_picture({f"sample {k}": volume for k, volume in enumerate(made.volumes[:4], 1)})


def _values(request: GenerateRequest, made: Generated, names: Sequence[str]) -> dict[str, Any]:
    """What the sidecar says."""
    values = sidecar("generate", made, request.options, {"residual": None}, [], names)
    values["certificate"], values["certificate_reason"] = None, REASON
    return values


def _scene(request: GenerateRequest, made: Generated) -> Scene | None:
    return None if request.report is None else made_scene(made.volumes)
