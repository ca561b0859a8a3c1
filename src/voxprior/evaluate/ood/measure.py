"""The figures by which each job tells how familiar an input is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from voxprior.evaluate.ood.images import reconstruction
from voxprior.evaluate.ood.inputs import ENHANCE, RECON, SR, Case
from voxprior.evaluate.ood.volumes import bind_slices, bind_voxels, coarse, thick
from voxprior.methods.enhance import DEFAULT as VOXELS
from voxprior.methods.kspace import WEIGHTS as KSPACE
from voxprior.priors import familiar_kspace, familiar_slices
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.weights import DEFAULT, Weights, load

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Judge:
    """How a job judges: the ``weights`` whose card knows the scans, the names of its ``figures``, and how to find them
    and the part of the header. ``by``: weights that find them, where they are others.
    """

    weights: str
    figures: tuple[str, ...]
    find: Callable[[Path, Case, Weights[SlicePrior]], tuple[Figures, float]]
    by: str | None = None


def _slices(data: Path, case: Case, weights: Weights[SlicePrior]) -> tuple[Figures, float]:
    bound = bind_slices(*thick(data, case), weights.prior)
    return familiar_slices.slice_figures(bound), familiar_slices.outside_slices(weights.card, bound)


def _voxels(data: Path, case: Case, weights: Weights[SlicePrior]) -> tuple[Figures, float]:
    bound = bind_voxels(*coarse(data, case), weights.prior)
    found = familiar_slices.voxel_figures(other(DEFAULT).prior, bound)
    return found, familiar_slices.outside_voxels(weights.card, bound)


def _image(data: Path, case: Case, weights: Weights[SlicePrior]) -> tuple[Figures, float]:
    return familiar_kspace.image_figures(weights.prior, reconstruction(data, case, weights.prior)), 0.0


@lru_cache(maxsize=1)
def other(name: str) -> Weights[SlicePrior]:
    """Weights that judge for others, read once."""
    return load(name)


JUDGES: Mapping[str, Judge] = {
    SR: Judge(DEFAULT, familiar_slices.FIGURES, _slices),
    ENHANCE: Judge(VOXELS, familiar_slices.DENOISED, _voxels, DEFAULT),
    RECON: Judge(KSPACE, familiar_kspace.FIGURES, _image),
}
"""By job. Of ``ct`` there is none: with one training volume there are no scans to set a threshold on."""


def kind_of(case: Case) -> str:
    """Which of the cards' kinds of scans a case is compared with: of coarse voxels by what made them so."""
    return case.degraded if case.job == ENHANCE else ""
