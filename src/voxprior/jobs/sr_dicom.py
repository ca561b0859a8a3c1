"""Slices of a DICOM series, restored, become derived series in a folder."""

from __future__ import annotations

from pathlib import Path

from voxprior.io.certificate import slice_certificate
from voxprior.io.outputs import write_json
from voxprior.io.scans import input_names
from voxprior.jobs.cubic import cubic
from voxprior.jobs.dicom_files import PREVIEW, SIDECAR, publish_series, simulated_series, write_series
from voxprior.jobs.files import Written
from voxprior.jobs.scenes import slices_scene
from voxprior.jobs.sidecar import sidecar
from voxprior.jobs.simulate import compare
from voxprior.jobs.snapshots import write_pictures
from voxprior.jobs.sr import Restored, restore_slices
from voxprior.jobs.sr_request import Frame, Prepared
from voxprior.methods.result import Progress
from voxprior.report.preview import preview


def run_dicom(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Restore what was ``prepared`` into the folder of the request."""
    (frame,) = prepared.frames
    return publish_series(prepared.request, lambda folder: _restore(prepared, frame, folder, progress))


def _restore(prepared: Prepared, frame: Frame, folder: Path, progress: Progress | None) -> Written:
    request, source, names = prepared.request, prepared.request.source, []
    volume = frame.volume
    if frame.measured is not None:
        source = folder / frame.measured.name
        volume = simulated_series(source, volume, "Thick slices simulated from the series", frame.options.thickness)
        names.append(frame.measured.name)
    restored = restore_slices(volume, frame.options, progress)
    image, made = write_series(request, folder, restored, volume, _description(restored, frame), restored.notes)
    made += write_pictures(folder, restored.snapshots, restored.image.affine)
    noise = restored.noise, restored.noise_source
    certificate = slice_certificate(restored.geometry, volume, image, source, folder / SIDECAR, *noise)
    if frame.measured is not None:
        certificate["input"] = frame.measured.name
    yardstick = cubic(volume, restored.geometry)
    picture = preview(volume, restored.geometry, yardstick, image, restored.std)
    (folder / PREVIEW).write_bytes(picture)
    inputs = input_names(prepared.inputs)
    values = sidecar("sr", restored, frame.options, certificate, inputs, [*names, *made, PREVIEW])
    if frame.truth is not None:
        values["comparison"] = compare(restored, frame.truth, frame.options.method)
    write_json(folder / SIDECAR, values)
    scene = None
    if request.report is not None:
        scene = slices_scene(restored, yardstick, frame.truth, certificate["residual_per_slice"])
    return Written(request.target, values, picture, scene)


def _description(restored: Restored, frame: Frame) -> str:
    g = restored.geometry
    weights = "" if restored.weights is None else f", weights {restored.weights['name']}"
    return (
        f"{g.count} slices of {g.thickness:.4g} mm every {g.spacing:.4g} mm restored to {g.fine_count} every "
        f"{g.fine_spacing:.4g} mm by Voxprior, method {frame.options.method}{weights}, seed {frame.options.seed}"
    )
