"""What makes no sense as a scan is refused, and what is unlike the training data is said to be; the user decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.jobs.options import DEFAULT_METHOD, ImageOptions, SrOptions
from voxprior.volume import Volume

if TYPE_CHECKING:
    from voxprior.operators.base import Measurement

LABELS, CODES = 256, 16
"""More values than the first no label map has. With fewer than the second they must follow each other (0, 1, 2 ...), as
codes do and the grey values of a digital phantom do not.
"""
FLAT = 0.5
"""Part of neighbouring voxels that are equal in a label map, at least along one axis. In maps of tissue at 1 mm it is
0.82, in scans of 8 bits at most 0.17.
"""
SEEN = 200_000
"""Voxels that are looked at for their values."""
CONTENT = 1e-4
"""Least part of the voxels that differ from the commonest value."""


def require_scan(volume: Volume, options: ImageOptions) -> None:
    """Raise :class:`InputError` for a label map and for a volume that is all but empty, unless ``force_input``."""
    if options.force_input:
        return
    name = volume.source or "the image"
    data = volume.data
    if is_label_map(data):
        raise InputError(f"{name}: looks like a label map, not a scan; give the scan, or --force-input")
    blank = float(np.median(data[:: max(1, data.shape[0] // 32)]))
    if np.count_nonzero(data != blank) < CONTENT * data.size:
        raise InputError(f"{name}: nearly every voxel is {blank:g}; give another image, or --force-input")


def is_label_map(data: NDArray[np.float32]) -> bool:
    """Whether ``data`` (i, j, k) holds few whole numbers, in large regions of one number each.

    A phantom is none: noise and partial volumes give it many values, or it has a few that are far apart.
    """
    step = max(1, int(np.cbrt(data.size / SEEN)))
    few = data[::step, ::step, ::step]
    values = np.unique(few)
    codes = values.size >= CODES or np.ptp(values) < 2 * values.size
    if not np.array_equal(values, np.round(values)) or values.size > LABELS or not codes:
        return False
    return any(_equal(np.moveaxis(data, axis, -1)[::step, ::step]) >= FLAT for axis in range(3))


def _equal(lines: NDArray[np.float32]) -> float:
    """Part of the neighbours along ``lines`` (.., voxel) that are equal, where one of the two is not 0."""
    a, b = lines[..., :-1], lines[..., 1:]
    filled = (a != 0) | (b != 0)
    return float((a == b)[filled].mean()) if filled.any() else 0.0


def unfamiliar(measurement: Measurement, options: SrOptions) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Notes for the sidecar on how far ``measurement`` is from what the weights know, and a warning where it is far.

    Nothing for other methods than the default, and for weights that were never calibrated.
    """
    if options.method != DEFAULT_METHOD:
        return {}, ()
    from voxprior.jobs.job import find_device
    from voxprior.methods.voxprior import voxprior
    from voxprior.priors.bound import BoundPrior
    from voxprior.priors.familiarity import familiar_of, figures, outside, score
    from voxprior.priors.weights import DEFAULT

    # A student of one step is asked for no error of denoising: the slice prior, of the same subjects, answers for it.
    own = options.weights is not None and options.mode != "one-step"
    weights = voxprior.shelf(str(options.weights) if own else DEFAULT, find_device(options.device))
    known = familiar_of(weights.card)
    if known is None:
        return {}, ()
    where = next(weights.prior.parameters()).device
    bound = BoundPrior(weights.prior, _moved(measurement, str(where)))
    found, beyond = figures(bound), outside(weights.card, bound)
    value = score(found, beyond, known)
    notes = {"score": value, "threshold": known.threshold, "figures": found, "outside_trained_range": beyond}
    if value <= known.threshold:
        return {"unfamiliarity": notes}, ()
    why = "voxels or slice distance" if beyond > 0 else "the image"
    return {"unfamiliarity": notes}, (
        f"unlike what the weights were trained on ({why}: {value:.1f}, scans stay below {known.threshold:.1f}): "
        "do not trust detail that the slices do not show",
    )


def _moved(measurement: Measurement, device: str) -> Measurement:
    from dataclasses import replace

    return replace(measurement, y=measurement.y.to(device))
