"""Inputs of ``recon``: slices that are measured in k-space, and images of them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.ood.inputs import MEASURED, RECON, UNDERSAMPLED, Case
from voxprior.evaluate.ood.spoil import noise, shuffled
from voxprior.evaluate.recon.acquire import acquire, simulate, undersample
from voxprior.evaluate.recon.protocols import Case as Sampled
from voxprior.methods.kspace import Problem, Settings
from voxprior.priors.complex import explain
from voxprior.priors.denoiser import SlicePrior

OF_SLICES = {"noise": lambda image: noise(image.shape), "shuffled blocks": shuffled}
"""What is made of a slice before it is measured."""
Source = Literal["coils", "complex", "slice", "ct", "kspace"]


@torch.no_grad()
def reconstruction(data: Path, case: Case, prior: SlicePrior) -> Tensor:
    """The mean mode's image (y, x) of the k-space of ``case``, by which ``recon`` judges."""
    own = _sampled(case)
    full = acquire(data, own)
    if case.kind in OF_SLICES:
        assert full.truth is not None
        image = np.asarray(OF_SLICES[case.kind](full.truth), dtype=np.float32)
        full = simulate(image, own.coils, f"{case.subject} {case.kind}")
    measurement = undersample(full, own).measurement()
    problem = Problem(prior, measurement, explain(measurement))
    found: Tensor = problem.mean(Settings(), SeededNoise(0), None)["mean"]
    return found.to(torch.complex64)


def _sampled(case: Case) -> Sampled:
    """The case of the evaluation of ``recon`` that measures it."""
    place = case.subject, case.file, case.sha256, RECON
    if case.kind == UNDERSAMPLED:
        return Sampled(*place, "kspace")
    family, acceleration, acs = case.degraded.split(":")
    source: Source = "ct" if case.file.startswith("ct/") else "slice"
    if case.kind == MEASURED:
        source = "complex" if case.coils else "coils"
    sampling = family, float(acceleration), int(acs)
    return Sampled(*place, source, *sampling, direction=case.direction, coils=case.coils)
