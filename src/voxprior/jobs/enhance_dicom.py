"""Coarse voxels of a DICOM series, restored, become derived series in a folder."""

from __future__ import annotations

from pathlib import Path

from voxprior.io.outputs import write_json
from voxprior.io.scans import input_names
from voxprior.jobs.dicom_files import PREVIEW, SIDECAR, publish_series, simulated_series, write_series
from voxprior.jobs.enhance import Enhanced, enhance_volume
from voxprior.jobs.enhance_account import certificate_of, picture_of, sidecar_of, yardstick_of
from voxprior.jobs.enhance_request import Frame, Prepared
from voxprior.jobs.files import Written
from voxprior.jobs.scenes import voxels_scene
from voxprior.jobs.snapshots import write_pictures
from voxprior.methods.result import Progress
from voxprior.volume import Volume

SLICES = 2
"""Slices of a DICOM series follow each other along k."""


def run_dicom(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Restore what was ``prepared`` into the folder of the request."""
    (frame,) = prepared.frames
    return publish_series(prepared.request, lambda folder: _restore(prepared, frame, folder, progress))


def _restore(prepared: Prepared, frame: Frame, folder: Path, progress: Progress | None) -> Written:
    request, source, names = prepared.request, prepared.request.source, []
    volume, stated = frame.volume, frame.volume.header.get("thickness")
    if frame.measured is not None:
        source = folder / frame.measured.name
        volume = simulated_series(source, volume, "Coarse voxels simulated from the series", stated)
        names.append(frame.measured.name)
    restored = enhance_volume(volume, frame.stages, progress)
    # Slices that were only refined within keep their thickness, which may not be their distance.
    thickness = None if any(g.axis == SLICES for g in restored.axes) else stated
    told = request, folder, restored, volume, _description(restored, frame, volume), restored.notes
    image, made = write_series(*told, thickness)
    made += write_pictures(folder, restored.snapshots, restored.image.affine)
    certificate = certificate_of(restored, volume, image, source, folder / SIDECAR)
    yardstick = yardstick_of(restored)
    picture = picture_of(restored, yardstick)
    (folder / PREVIEW).write_bytes(picture)
    inputs = input_names([prepared.request.source])
    values = sidecar_of(frame, restored, certificate, yardstick, inputs, [*names, *made, PREVIEW])
    write_json(folder / SIDECAR, values)
    scene = None
    if request.report is not None:
        residuals = None if certificate is None else certificate["residual_per_slice"]
        scene = voxels_scene(restored, yardstick, frame.truth, residuals)
    return Written(request.target, values, picture, scene)


def _description(restored: Enhanced, frame: Frame, volume: Volume) -> str:
    before, after = (" x ".join(f"{s:.4g}" for s in v.spacing) for v in (volume, restored.image))
    weights = "" if restored.weights is None else f", weights {restored.weights['name']}"
    methods = ", then ".join(stage.options.method for stage in frame.stages)
    seed = frame.stages[0].options.seed
    return f"Voxels of {before} mm restored to {after} mm by Voxprior, method {methods}{weights}, seed {seed}"
