"""Several scans of one patient, the first a DICOM series, become derived series in its study and its space."""

from __future__ import annotations

from pathlib import Path

from voxprior.io.outputs import write_json
from voxprior.io.scans_certificate import scans_certificate
from voxprior.jobs.dicom_files import PREVIEW, SIDECAR, publish_series, write_series
from voxprior.jobs.files import Written
from voxprior.jobs.scenes import several_scene
from voxprior.jobs.several import Joined, restore_several
from voxprior.jobs.several_account import picture_of, seen_of, sidecar_of
from voxprior.jobs.several_request import Prepared
from voxprior.methods.result import Progress


def run_dicom(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Restore what was ``prepared`` together into the folder of the request."""
    return publish_series(prepared.request, lambda folder: _restore(prepared, folder, progress))


def _restore(prepared: Prepared, folder: Path, progress: Progress | None) -> Written:
    request = prepared.request
    joined = restore_several(prepared.volumes, request.options, request.register, progress)
    restored = joined.restored
    first, *others = (volume for volume, _ in prepared.volumes)
    told = {**restored.notes, "register": request.register}
    image, made = write_series(request, folder, restored, first, _description(prepared, joined), told, others=others)
    certificate = scans_certificate(joined.scans, image, folder / SIDECAR)
    seen = seen_of(joined)
    picture = picture_of(joined, seen)
    (folder / PREVIEW).write_bytes(picture)
    values = sidecar_of(request, joined, certificate, [*made, PREVIEW])
    write_json(folder / SIDECAR, values)
    scene = None
    if request.report is not None:
        scene = several_scene(seen, restored, [one["residual"] for one in certificate["scans"]])
    return Written(request.target, values, picture, scene)


def _description(prepared: Prepared, joined: Joined) -> str:
    options, restored = prepared.request.options, joined.restored
    weights = "" if restored.weights is None else f", weights {restored.weights['name']}"
    voxels = " x ".join(f"{s:.4g}" for s in restored.image.spacing)
    return (
        f"{len(joined.scans)} scans of thick slices restored together to voxels of {voxels} mm by Voxprior, "
        f"method {options.method}{weights}, seed {options.seed}"
    )
