"""Several scans of one patient in files become one volume with its outputs beside a target, all of them or none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import affine_transform

from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json
from voxprior.io.scans import input_names
from voxprior.io.scans_certificate import scans_certificate
from voxprior.jobs.cubic import cubic
from voxprior.jobs.files import Written, publish
from voxprior.jobs.scenes import several_scene
from voxprior.jobs.several import Joined, restore_several
from voxprior.jobs.several_request import Prepared
from voxprior.jobs.sidecar import sidecar
from voxprior.jobs.volumes import write_images
from voxprior.methods.result import Progress
from voxprior.report.preview import beside
from voxprior.volume import Volume

SHOWN = 3
"""Scans that pictures show."""


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Restore what was ``prepared`` together and write the outputs, atomically; a list of one."""
    request = prepared.request
    return publish(request, request.sources, [request.target], lambda out: [_restore(prepared, out, progress)])


def _restore(prepared: Prepared, out: Transaction, progress: Progress | None) -> Written:
    request = prepared.request
    target = request.target
    joined = restore_several(prepared.volumes, request.options, request.register, progress)
    restored = joined.restored
    names = [path.name for path in write_images(out, target, restored)]
    certificate = scans_certificate(joined.scans, restored.image, target)
    images = _seen(joined)
    shot = sibling(target, "preview", ".png")
    picture = beside(list(images.items()), restored.std, f"{len(joined.scans)} scans on one grid")
    out.path(shot).write_bytes(picture)
    named = [*names, shot.name]
    values = sidecar("sr", restored, request.options, certificate, input_names(request.sources), named)
    values["settings"]["register"] = request.register
    write_json(out.path(sidecar_path(target)), values)
    scene = None
    if request.report is not None:
        residuals = [one["residual"] for one in certificate["scans"]]
        scene = several_scene(images, restored, residuals)
    return Written(target, values, picture, scene)


def _seen(joined: Joined) -> dict[str, Volume]:
    """The first scans as they cover the grid of the result, cubic of the first, and the result."""
    image = joined.restored.image
    seen = {}
    for k, scan in enumerate(joined.scans[:SHOWN], 1):
        to_scan = np.linalg.inv(scan.stack.affine) @ image.affine
        data = affine_transform(scan.measurement.data, to_scan[:3, :3], to_scan[:3, 3], image.data.shape, order=0)
        seen[f"scan {k}"] = replace(image, data=(data / scan.scale).astype(np.float32))
    first = joined.scans[0].measurement
    return {**seen, "cubic": cubic(first, joined.restored.geometry), "restored": image}
