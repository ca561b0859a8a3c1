"""Unconditional generation: what is made, its distance from the training volumes, and the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender, Resolve, network_of, settings_of
from voxprior.evaluate.generate.protocols import (
    EDGE,
    PROTOCOL,
    SCAN,
    Case,
    generate_cases,
    generate_contenders,
    generate_method,
)
from voxprior.evaluate.generate.reference import SPACING, Reference, read_reference
from voxprior.evaluate.generate.statistics import (
    PLANES,
    Block,
    alike,
    describe,
    histogram_distance,
    spectrum_distance,
)
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.record import as_record
from voxprior.evaluate.resume import fill, plan
from voxprior.evaluate.store import key_of
from voxprior.methods.result import Result
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable


def evaluate_generate(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    edge: int = EDGE,
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = generate_method,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Make volumes of ``edge`` voxels a side, append their figures to ``out``/generate.jsonl, and write ``page``.

    The training volumes that no network was fitted to are measured once beside them. Results are known by case, method,
    resolved options and weights; known ones are not made again. ``only``: words that must all occur in ``KIND SEED
    LABEL``. Returns the new results. Raises :class:`InputError` for missing data or weights.
    """
    store = results(out, "generate")
    chosen = generate_contenders() if contenders is None else contenders
    reference = cache(lambda: read_reference(data, edge))
    made = fill(
        store,
        plan(generate_cases(data, edge), [Contender(SCAN, SCAN), *chosen], _runs_on, only),
        lambda case, contender: key(case, contender, resolve),
        lambda case: reference(),
        lambda case, contender, found: measure(case, contender, found, resolve),
        lambda record: report(_line(record)),
    )
    write_page(page, out)
    return made


def key(case: Case, contender: Contender, resolve: Resolve = generate_method) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    settings: dict[str, Any] = {}
    if contender.method != SCAN:
        options = resolve(contender.method).Options(**contender.options)
        network = network_of(options)
        settings = {**settings_of(options), "weights": network.sha256 if network else None}
    parts = {"protocol": PROTOCOL, "case": case.to_dict(), "method": contender.method, "settings": settings}
    return key_of(parts)


def measure(
    case: Case, contender: Contender, reference: Reference, resolve: Resolve = generate_method
) -> dict[str, Any]:
    """Make a volume (or take the scans that were left out) and return the record for the store."""
    if contender.method == SCAN:
        scored = [score(block, reference) for block in reference.left_out]
        figures = {**_average(scored), "volumes": len(scored)} if scored else {"volumes": 0}
        how: dict[str, Any] = {"settings": {}, "weights": None}
        return as_record(case, key(case, contender, resolve), contender.label, how, figures)
    method = resolve(contender.method)
    options = method.Options(**contender.options)
    nothing = Separable({2: np.zeros((0, case.edge))}, (case.edge,) * 3)
    y = torch.zeros(1, case.edge, case.edge, 0)
    start = time.perf_counter()
    result: Result = method(
        Measurement(nothing, y, None, np.diag([SPACING] * 3 + [1.0])), options, SeededNoise(case.seed)
    )
    figures = {
        **score(result.mean.numpy(force=True), reference),
        "volumes": 1,
        "seconds": time.perf_counter() - start,
        "network_calls": result.calls,
    }
    how = {"settings": settings_of(options), "weights": result.weights}
    return as_record(case, key(case, contender, resolve), contender.label, how, figures)


def score(block: Block, reference: Reference) -> dict[str, Any]:
    """Distances of ``block`` from the mean statistics of the training volumes, and the most alike of their blocks.

    ``nearest``: the largest correlation with a training block; what is far above that of scans would
    be remembered, not made.
    """
    found = describe(block)
    return {
        "histogram": histogram_distance(found, reference.mean),
        "spectrum": {plane: spectrum_distance(found, reference.mean, plane) for plane in PLANES},
        "nearest": max(alike(block, other) for other in reference.fit),
        "mean": float(block.mean(dtype=np.float64)),
        "std": float(block.std(dtype=np.float64)),
    }


def _average(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: _average([s[name] for s in scores])
        if isinstance(value, Mapping)
        else float(np.mean([s[name] for s in scores]))
        for name, value in scores[0].items()
    }


def _runs_on(contender: Contender, case: Case) -> bool:
    """The scans have no seed: once is enough."""
    return contender.method != SCAN or case.seed == 0


def _line(record: Mapping[str, Any]) -> str:
    f = record["figures"]
    if "histogram" not in f:
        return f"{record['name']}  {record['label']}: none"
    planes = " / ".join(f"{f['spectrum'][plane]:.1f}" for plane in PLANES)
    return f"{record['name']}  {record['label']}: histogram {f['histogram']:.3f}, spectrum {planes} dB"
