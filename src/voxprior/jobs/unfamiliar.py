"""What is unlike the training data is said to be; the user decides what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from voxprior.jobs.job import find_device
from voxprior.jobs.options import DEFAULT_METHOD, EnhanceOptions, ReconOptions, SrOptions
from voxprior.methods.enhance import DEFAULT as ENHANCE
from voxprior.methods.enhance import voxprior as enhance
from voxprior.methods.kspace import WEIGHTS as KSPACE
from voxprior.methods.kspace import voxprior as kspace
from voxprior.methods.voxprior import voxprior as slices
from voxprior.operators.base import Measurement
from voxprior.priors.bound import BoundPrior
from voxprior.priors.familiar_kspace import FIGURES as OF_IMAGE
from voxprior.priors.familiar_kspace import image_figures
from voxprior.priors.familiar_slices import (
    DENOISED,
    FIGURES,
    outside_slices,
    outside_voxels,
    slice_figures,
    voxel_figures,
)
from voxprior.priors.familiarity import Familiar, familiar_of, judged_by, score
from voxprior.priors.grid import BoundGrid
from voxprior.priors.weights import DEFAULT

Found = tuple[dict[str, Any], tuple[str, ...]]
"""Notes for the sidecar on how far an input is from what the weights know, and a warning where it is far.

Nothing for other methods than the default, and for weights that were never calibrated.
"""


def unfamiliar_slices(measurement: Measurement, options: SrOptions) -> Found:
    """Of thick slices."""
    if options.method != DEFAULT_METHOD:
        return {}, ()
    # A student of one step is asked for no error of denoising: the slice prior, of the same subjects, answers for it.
    asked = None if options.mode == "one-step" else options.weights
    device = find_device(options.device)
    weights = slices.shelf(asked or DEFAULT, device)
    known = familiar_of(weights.card, FIGURES)
    if known is None:
        return {}, ()
    bound = BoundPrior(weights.prior, _moved(measurement, device))
    found = slice_figures(bound), outside_slices(weights.card, bound)
    return _told(*found, known, "voxels or slice distance", "the slices do not show")


def unfamiliar_voxels(measurement: Measurement, options: EnhanceOptions) -> Found:
    """Of coarse voxels."""
    if options.method != DEFAULT_METHOD:
        return {}, ()
    # For a network of volumes the slice prior, of the same subjects, answers.
    asked = None if options.planes == "volume" else options.weights
    device = find_device(options.device)
    weights, judge = enhance.shelf(asked or ENHANCE, device), slices.shelf(DEFAULT, device)
    known = familiar_of(weights.card, DENOISED, options.degradation)
    if known is None or judged_by(weights.card) != judge.sha256:
        return {}, ()
    bound = BoundGrid(weights.prior, _moved(measurement, device), options.degradation)
    found = voxel_figures(judge.prior, bound), outside_voxels(weights.card, bound)
    return _told(*found, known, "voxels or factor", "the measured voxels do not show")


def unfamiliar_image(image: Tensor, options: ReconOptions) -> Found:
    """Of k-space, from the mean mode's ``image`` (*space) of it."""
    if options.method != DEFAULT_METHOD:
        return {}, ()
    device = find_device(options.device)
    weights = kspace.shelf(options.weights or KSPACE, device)
    known = familiar_of(weights.card, OF_IMAGE)
    if known is None:
        return {}, ()
    found = image_figures(weights.prior, image.to(device))
    return _told(found, 0.0, known, "", "the measured part of k-space does not determine")


def _told(found: Mapping[str, float], beyond: float, known: Familiar, header: str, doubtful: str) -> Found:
    value = score(found, beyond, known)
    notes = {"score": value, "threshold": known.threshold, "figures": dict(found), "outside_trained_range": beyond}
    if value <= known.threshold:
        return {"unfamiliarity": notes}, ()
    why = header if beyond > 0 else "the image"
    return {"unfamiliarity": notes}, (
        f"unlike what the weights were trained on ({why}: {value:.3g}, scans stay below {known.threshold:.3g}): "
        f"do not trust detail that {doubtful}",
    )


def _moved(measurement: Measurement, device: str) -> Measurement:
    return replace(measurement, y=measurement.y.to(device))
