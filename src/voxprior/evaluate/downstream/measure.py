"""One result: tissues of a restored volume beside those of the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender, Resolve, network_of, settings_of
from voxprior.evaluate.downstream.protocols import PROTOCOL, Case
from voxprior.evaluate.downstream.tissue import NAMES, Image, fit_mixture, tell_apart
from voxprior.evaluate.lesions.contenders import SLOW, lesion_contenders
from voxprior.evaluate.record import as_record
from voxprior.evaluate.sr.contenders import sr_method
from voxprior.evaluate.sr.degrade import Problem
from voxprior.evaluate.store import key_of

SEED = 0
SLICES = "slices"
"""Who does nothing: the slices as they are."""
SAMPLES = "voxprior, 4 samples"
"""Whose volumes are averaged, which is not the volume of their average."""


def tissue_contenders() -> list[Contender]:
    """The slices themselves, all who restore lesions and do not take long, and samples."""
    quick = [c for c in lesion_contenders() if c.place != SLOW]
    samples = {"mode": "sample", "steps": 10, "samples": 4}
    return [Contender(SLICES, SLICES), *quick, Contender(SAMPLES, "voxprior", samples)]


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
    truth, mask = problem.truth, problem.foreground
    count = tell_apart(truth[mask])
    voxel = float(abs(np.linalg.det(problem.affine[:3, :3]))) / 1000
    if contender.method == SLICES:
        g = problem.slices
        inside = np.moveaxis(np.tensordot(g.matrix(), problem.foreground, axes=(1, g.axis)), 0, g.axis) >= 0.5
        found = volumes(problem.thick.data, inside, voxel * case.factor, count)
        overlap = None
    else:
        method = resolve(contender.method)
        options = method.Options(**contender.options)
        result = method(problem.measurement, options, SeededNoise(SEED))
        images = result.mean[None] if result.samples is None else result.samples
        network = network_of(options)
        weights = {"name": network.name, "sha256": network.sha256} if network else None
        how = {"settings": settings_of(options), "weights": weights}
        every = [image.numpy(force=True) for image in images]
        found = _mean([volumes(image, mask, voxel, count) for image in every])
        overlap = _mean([_overlap(image, truth, mask, count) for image in every])
    figures = compare(found, volumes(truth, mask, voxel, count))
    if overlap is not None:
        figures["dice"] = overlap
    return as_record(case, key(case, contender, resolve), contender.label, how, figures)


def volumes(image: Image, mask: NDArray[np.bool_], voxel: float, count: int) -> dict[str, float]:
    """Millilitres of ``count`` classes within ``mask``, ``voxel`` ml a voxel: the shares of the fitted mixture."""
    fitted = fit_mixture(image[mask], count)
    whole = np.count_nonzero(mask) * voxel
    return {name: float(share * whole) for name, share in zip(NAMES[count], fitted.share, strict=True)}


def compare(found: dict[str, float], truth: dict[str, float]) -> dict[str, Any]:
    """Volumes of both, and the relative error of each class."""
    return {"volumes": found, "truth": truth, "error": {n: found[n] / truth[n] - 1 for n in truth}}


def _mean(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}


def _overlap(image: Image, truth: Image, mask: NDArray[np.bool_], count: int) -> dict[str, float]:
    """Dice coefficient of the classes of ``image`` and ``truth``, each by the mixture of its own."""
    a, b = (fit_mixture(v[mask], count).classes(v[mask]) for v in (image, truth))
    found = {}
    for number, name in enumerate(NAMES[count]):
        sizes = int((a == number).sum() + (b == number).sum())
        found[name] = 2 * int(((a == number) & (b == number)).sum()) / max(1, sizes)
    return found
