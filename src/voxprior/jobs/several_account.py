"""What a restoration of several scans shows of itself, whatever it is written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import affine_transform

from voxprior.io.scans import input_names
from voxprior.jobs.cubic import cubic
from voxprior.jobs.several import Joined
from voxprior.jobs.several_request import SeveralRequest
from voxprior.jobs.sidecar import sidecar
from voxprior.report.preview import beside
from voxprior.volume import Volume

SHOWN = 3
"""Scans that pictures show."""


def seen_of(joined: Joined) -> dict[str, Volume]:
    """The first scans as they cover the grid of the result, cubic of the first, and the result."""
    image = joined.restored.image
    seen = {}
    for k, scan in enumerate(joined.scans[:SHOWN], 1):
        to_scan = np.linalg.inv(scan.stack.affine) @ image.affine
        data = affine_transform(scan.measurement.data, to_scan[:3, :3], to_scan[:3, 3], image.data.shape, order=0)
        seen[f"scan {k}"] = replace(image, data=(data / scan.scale).astype(np.float32))
    first = joined.scans[0].measurement
    return {**seen, "cubic": cubic(first, joined.restored.geometry), "restored": image}


def picture_of(joined: Joined, seen: Mapping[str, Volume]) -> bytes:
    """The preview, a PNG, of what is ``seen``."""
    return beside(list(seen.items()), joined.restored.std, f"{len(joined.scans)} scans on one grid")


def sidecar_of(
    request: SeveralRequest, joined: Joined, certificate: Mapping[str, Any], names: list[str]
) -> dict[str, Any]:
    """What the sidecar says."""
    inputs = input_names(request.sources)
    values = sidecar("sr", joined.restored, request.options, certificate, inputs, names)
    values["settings"]["register"] = request.register
    return values
