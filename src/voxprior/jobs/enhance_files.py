"""Coarse voxels in a file become the outputs beside a target, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence

from voxprior.io.names import IMAGE_SUFFIXES
from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json, write_volume
from voxprior.io.scans import input_names
from voxprior.jobs.enhance import enhance_volume
from voxprior.jobs.enhance_account import certificate_of, picture_of, sidecar_of, yardstick_of
from voxprior.jobs.enhance_dicom import run_dicom
from voxprior.jobs.enhance_request import EnhanceRequest, Frame, Prepared, prepare
from voxprior.jobs.files import Files, Written, publish
from voxprior.jobs.scenes import voxels_scene
from voxprior.jobs.snapshots import write_snapshots
from voxprior.jobs.volumes import write_images
from voxprior.methods.result import Progress


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Restore every frame that was ``prepared`` and write the outputs, atomically; one member a frame."""
    request = prepared.request
    if request.dicom.dicom:
        return run_dicom(prepared, progress)
    names = input_names([request.source])

    def restore(out: Transaction) -> list[Written]:
        return [_restore(frame, out, request, names, progress) for frame in prepared.frames]

    return publish(request, request.sources, [frame.target for frame in prepared.frames], restore)


def _run(request: EnhanceRequest, progress: Progress | None) -> list[Written]:
    return run(prepare(request), progress)


FILES = Files("enhance", IMAGE_SUFFIXES, lambda source: source.name, _run)
"""How ``enhance`` goes through a folder."""


def _restore(
    frame: Frame, out: Transaction, request: EnhanceRequest, inputs: Sequence[str], progress: Progress | None
) -> Written:
    names, source = [], request.source
    if frame.measured is not None:
        source = out.path(frame.measured)
        write_volume(source, frame.volume)
        names.append(frame.measured.name)
    restored = enhance_volume(frame.volume, frame.stages, progress)
    names += [path.name for path in write_images(out, frame.target, restored)]
    certificate = certificate_of(restored, frame.volume, restored.image, source, frame.target)
    yardstick = yardstick_of(restored)
    picture = picture_of(restored, yardstick)
    shot = sibling(frame.target, "preview", ".png")
    out.path(shot).write_bytes(picture)
    names += write_snapshots(out, frame.target, restored.snapshots, restored.image.affine)
    values = sidecar_of(frame, restored, certificate, yardstick, inputs, [*names, shot.name])
    write_json(out.path(sidecar_path(frame.target)), values)
    scene = None
    if request.report is not None:
        residuals = None if certificate is None else certificate["residual_per_slice"]
        scene = voxels_scene(restored, yardstick, frame.truth, residuals)
    return Written(frame.target, values, picture, scene)
