"""A scan in a file becomes the outputs beside a target, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence

from voxprior.io.certificate import slice_certificate
from voxprior.io.names import IMAGE_SUFFIXES
from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json, write_volume
from voxprior.io.scans import input_names
from voxprior.jobs.cubic import cubic
from voxprior.jobs.files import Files, Written, publish
from voxprior.jobs.scenes import slices_scene
from voxprior.jobs.sidecar import sidecar
from voxprior.jobs.simulate import compare
from voxprior.jobs.snapshots import write_snapshots
from voxprior.jobs.sr import restore_slices
from voxprior.jobs.sr_dicom import run_dicom
from voxprior.jobs.sr_request import Frame, Prepared, SrRequest, prepare
from voxprior.jobs.volumes import write_images
from voxprior.methods.result import Progress
from voxprior.report.preview import preview


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Restore every frame that was ``prepared`` and write the outputs, atomically; one member a frame."""
    request = prepared.request
    if request.dicom.dicom:
        return run_dicom(prepared, progress)
    names = input_names(prepared.inputs)

    def restore(out: Transaction) -> list[Written]:
        return [_restore(frame, out, request, names, progress) for frame in prepared.frames]

    return publish(request, prepared.inputs, [frame.target for frame in prepared.frames], restore)


def _run(request: SrRequest, progress: Progress | None) -> list[Written]:
    return run(prepare(request), progress)


FILES = Files("sr", IMAGE_SUFFIXES, lambda source: source.name, _run)
"""How ``sr`` goes through a folder."""


def _restore(
    frame: Frame, out: Transaction, request: SrRequest, inputs: Sequence[str], progress: Progress | None
) -> Written:
    names, source = [], request.source
    if frame.measured is not None:
        source = out.path(frame.measured)
        write_volume(source, frame.volume)
        names.append(frame.measured.name)
    restored = restore_slices(frame.volume, frame.options, progress)
    names += [path.name for path in write_images(out, frame.target, restored)]
    noise = restored.noise, restored.noise_source
    certificate = slice_certificate(restored.geometry, frame.volume, restored.image, source, frame.target, *noise)
    if frame.measured is not None:
        certificate["input"] = frame.measured.name
    yardstick = cubic(frame.volume, restored.geometry)
    picture = preview(frame.volume, restored.geometry, yardstick, restored.image, restored.std)
    shot = sibling(frame.target, "preview", ".png")
    out.path(shot).write_bytes(picture)
    names += write_snapshots(out, frame.target, restored.snapshots, restored.image.affine)
    values = sidecar("sr", restored, frame.options, certificate, inputs, [*names, shot.name])
    if frame.truth is not None:
        values["comparison"] = compare(restored, frame.truth, frame.options.method)
    write_json(out.path(sidecar_path(frame.target)), values)
    scene = None
    if request.report is not None:
        scene = slices_scene(restored, yardstick, frame.truth, certificate["residual_per_slice"])
    return Written(frame.target, values, picture, scene)
