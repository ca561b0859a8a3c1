"""Several scans of one patient in files become one volume with its outputs beside a target, all of them or none."""

from __future__ import annotations

from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json
from voxprior.io.scans_certificate import scans_certificate
from voxprior.jobs.files import Written, publish
from voxprior.jobs.scenes import several_scene
from voxprior.jobs.several import restore_several
from voxprior.jobs.several_account import picture_of, seen_of, sidecar_of
from voxprior.jobs.several_dicom import run_dicom
from voxprior.jobs.several_request import Prepared
from voxprior.jobs.volumes import write_images
from voxprior.methods.result import Progress


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Restore what was ``prepared`` together and write the outputs, atomically; a list of one."""
    request = prepared.request
    if request.dicom.dicom:
        return run_dicom(prepared, progress)
    return publish(request, request.sources, [request.target], lambda out: [_restore(prepared, out, progress)])


def _restore(prepared: Prepared, out: Transaction, progress: Progress | None) -> Written:
    request = prepared.request
    target = request.target
    joined = restore_several(prepared.volumes, request.options, request.register, progress)
    restored = joined.restored
    names = [path.name for path in write_images(out, target, restored)]
    certificate = scans_certificate(joined.scans, restored.image, target)
    seen = seen_of(joined)
    shot = sibling(target, "preview", ".png")
    picture = picture_of(joined, seen)
    out.path(shot).write_bytes(picture)
    values = sidecar_of(request, joined, certificate, [*names, shot.name])
    write_json(out.path(sidecar_path(target)), values)
    scene = None
    if request.report is not None:
        residuals = [one["residual"] for one in certificate["scans"]]
        scene = several_scene(seen, restored, residuals)
    return Written(target, values, picture, scene)
