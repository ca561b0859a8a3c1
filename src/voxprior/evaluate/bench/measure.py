"""One result: a method on the phantom of a test, its figures, and the record that keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.bench.detect import CENTRES, detectability, regions
from voxprior.evaluate.bench.edge import FREQUENCIES, through_plane
from voxprior.evaluate.bench.noise import noise_figures
from voxprior.evaluate.bench.phantom import HEAD, THICKNESS, VALUE, Body, Image, above, disc, measured, slices
from voxprior.evaluate.bench.protocols import DISC_DRAWS, EDGE, NOISE, NOISE_DRAWS, PROTOCOL, WHITE, Case
from voxprior.evaluate.contender import Contender, Resolve, network_of, settings_of
from voxprior.evaluate.lesions.contenders import SLOW, lesion_contenders
from voxprior.evaluate.record import as_record
from voxprior.evaluate.sr.contenders import sr_method
from voxprior.evaluate.store import key_of

SEED = 0
SLICES = "slices"
"""Who does nothing: the slices as they are."""
Restore = Callable[[Image, float], Image]
"""From slices and the std of their noise to an image."""


def bench_contenders() -> list[Contender]:
    """The slices themselves, and all who restore lesions."""
    return [Contender(SLICES, SLICES), *lesion_contenders()]


def runs_on(contender: Contender, case: Case) -> bool:
    """Discs take dozens of restorations: not for methods that take long."""
    return contender.place != SLOW or case.test == EDGE


def key(case: Case, contender: Contender, resolve: Resolve = sr_method) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    settings: dict[str, Any] = {}
    if contender.method != SLICES:
        options = resolve(contender.method).Options(**contender.options)
        network = network_of(options)
        settings = {**settings_of(options), "weights": network.sha256 if network else None}
    draws = {"noise": NOISE, "draws": [NOISE_DRAWS, DISC_DRAWS], "seed": SEED}
    return key_of(
        {"protocol": PROTOCOL, "case": case.to_dict(), **draws, "method": contender.method, "settings": settings}
    )


def measure(case: Case, contender: Contender, resolve: Resolve = sr_method) -> dict[str, Any]:
    """Run ``contender`` on the phantom of ``case`` and return the record for the store."""
    how: dict[str, Any] = {"settings": {}, "weights": None}
    start = time.perf_counter()
    if contender.method == SLICES:
        figures = _figures(case, lambda data, noise: data, THICKNESS)
    else:
        method = resolve(contender.method)
        options = method.Options(**contender.options)
        network = network_of(options)
        weights = {"name": network.name, "sha256": network.sha256} if network else None
        how = {"settings": settings_of(options), "weights": weights}

        def restore(data: Image, noise: float) -> Image:
            result = method(measured(data, noise), options, SeededNoise(SEED))
            return np.asarray(result.mean.numpy(force=True), dtype=np.float32)

        figures = _figures(case, restore, 1.0)
    figures["seconds"] = time.perf_counter() - start
    return as_record(case, key(case, contender, resolve), contender.label, how, figures)


def _figures(case: Case, restore: Restore, spacing: float) -> dict[str, Any]:
    if case.test == EDGE:
        return _edge(case, restore, spacing)
    return _noise(restore, spacing) if case.test == WHITE else _discs(case, restore, spacing)


def _edge(case: Case, restore: Restore, spacing: float) -> dict[str, Any]:
    image = restore(slices([HEAD, Body(above, case.contrast * VALUE)]), 0.0)
    found = through_plane(image, spacing)
    return {
        "half": found.falls_to(0.5),
        "tenth": found.falls_to(0.1),
        "transfer": [found.at(frequency) for frequency in FREQUENCIES],
    }


def _noise(restore: Restore, spacing: float) -> dict[str, Any]:
    clean, sigma = slices([HEAD]), NOISE * VALUE
    plain = restore(clean, sigma)
    noisy = [restore(_draw(clean, number), sigma) for number in range(NOISE_DRAWS)]
    return noise_figures([image - plain for image in noisy], noisy[0], (1.0, 1.0, spacing), sigma)


def _discs(case: Case, restore: Restore, spacing: float) -> dict[str, Any]:
    size = case.diameter, case.thick
    without = slices([HEAD])
    given = slices([HEAD, *(Body(disc(centre, *size), case.contrast * VALUE) for centre in CENTRES)])
    seen: list[list[Any]] = [[], []]
    for number in range(DISC_DRAWS):
        for which, data in enumerate((given, without)):
            noisy = _draw(data, 100 + 2 * number + which)
            seen[which].append(regions(restore(noisy, NOISE * VALUE), (1.0, 1.0, spacing)))
    plain = [regions(restore(data, NOISE * VALUE), (1.0, 1.0, spacing)) for data in (given, without)]
    found = detectability(np.array(seen[0]), np.array(seen[1]), plain[0] - plain[1])
    return {"detectability": found._asdict(), "discs": len(CENTRES) * DISC_DRAWS}


def _draw(data: Image, number: int) -> Image:
    """``data`` with noise, the same for every method."""
    rng = np.random.default_rng([SEED, number])
    return data + (NOISE * VALUE * rng.standard_normal(data.shape)).astype(np.float32)
