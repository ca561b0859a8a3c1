"""One result: tissues of a restored volume beside those of the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender, Resolve, network_of, settings_of
from voxprior.evaluate.downstream.protocols import PROTOCOL, Case
from voxprior.evaluate.downstream.tissue import CLASSES, Image, fit_mixture
from voxprior.evaluate.lesions.contenders import SLOW, lesion_contenders
from voxprior.evaluate.record import as_record
from voxprior.evaluate.sr.contenders import sr_method
from voxprior.evaluate.sr.degrade import Problem
from voxprior.evaluate.store import key_of

SEED = 0
SLICES = "slices"
"""Who does nothing: the slices as they are."""


def tissue_contenders() -> list[Contender]:
    """The slices themselves, and all who restore lesions and do not take long."""
    return [Contender(SLICES, SLICES), *(c for c in lesion_contenders() if c.place != SLOW)]


def key(case: Case, contender: Contender, resolve: Resolve = sr_method) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    settings: dict[str, Any] = {}
    if contender.method != SLICES:
        options = resolve(contender.method).Options(**contender.options)
        network = network_of(options)
        settings = {**settings_of(options), "weights": network.sha256 if network else None}
    parts = {"protocol": PROTOCOL, "case": case.to_dict(), "seed": SEED}
    return key_of({**parts, "method": contender.method, "settings": settings})


def measure(case: Case, contender: Contender, problem: Problem, resolve: Resolve = sr_method) -> dict[str, Any]:
    """Run ``contender`` on ``problem``, divide its result into tissues, and return the record for the store."""
    how: dict[str, Any] = {"settings": {}, "weights": None}
    truth = problem.truth, problem.foreground
    voxel = float(abs(np.linalg.det(problem.affine[:3, :3]))) / 1000
    if contender.method == SLICES:
        g = problem.slices
        inside = np.moveaxis(np.tensordot(g.matrix(), problem.foreground, axes=(1, g.axis)), 0, g.axis) >= 0.5
        found = volumes(problem.thick.data, inside, voxel * case.factor)
        figures = compare(found, volumes(*truth, voxel))
    else:
        method = resolve(contender.method)
        options = method.Options(**contender.options)
        image = method(problem.measurement, options, SeededNoise(SEED)).mean.numpy(force=True)
        network = network_of(options)
        weights = {"name": network.name, "sha256": network.sha256} if network else None
        how = {"settings": settings_of(options), "weights": weights}
        figures = compare(volumes(image, problem.foreground, voxel), volumes(*truth, voxel))
        figures["dice"] = _overlap(image, *truth)
    return as_record(case, key(case, contender, resolve), contender.label, how, figures)


def volumes(image: Image, mask: NDArray[np.bool_], voxel: float) -> dict[str, float]:
    """Millilitres of each class within ``mask``, ``voxel`` ml a voxel: the shares of the fitted mixture."""
    fitted = fit_mixture(image[mask])
    whole = np.count_nonzero(mask) * voxel
    return {name: float(share * whole) for name, share in zip(CLASSES, fitted.share, strict=True)}


def compare(found: dict[str, float], truth: dict[str, float]) -> dict[str, Any]:
    """Volumes of both, and the relative error of each class."""
    return {"volumes": found, "truth": truth, "error": {n: found[n] / truth[n] - 1 for n in CLASSES}}


def _overlap(image: Image, truth: Image, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Dice coefficient of the classes of ``image`` and ``truth``, each by the mixture of its own."""
    a, b = (fit_mixture(v[mask]).classes(v[mask]) for v in (image, truth))
    found = {}
    for number, name in enumerate(CLASSES):
        sizes = int((a == number).sum() + (b == number).sum())
        found[name] = 2 * int(((a == number) & (b == number)).sum()) / max(1, sizes)
    return found
