"""The settings of the baselines, chosen on a part of the training volume that no network was trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.ct.acquire import acquire
from voxprior.evaluate.ct.contenders import GRIDS, Chosen
from voxprior.evaluate.ct.measure import key, measure, told
from voxprior.evaluate.ct.protocols import tune_cases
from voxprior.evaluate.resume import fill
from voxprior.evaluate.statistics import Record, latest
from voxprior.evaluate.store import Store


def tune(data: Path, store: Store, report: Callable[[str], None] = print) -> Chosen:
    """Measure what ``store`` lacks of every value of :data:`GRIDS` on the held-back slices; gives the best ones."""
    tried = [Contender(label(g.method, v), g.method, g.options(v)) for g in GRIDS for v in g.values]
    fill(
        store,
        [(case, tried) for case in tune_cases(data)],
        key,
        lambda case: acquire(data, case),
        measure,
        lambda record: report(f"tune  {told(record)}"),
    )
    return best(store.records())


def best(records: Iterable[Record]) -> Chosen:
    """Of each method the value with the best mean PSNR over the volumes, by views in words."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in latest(records):
        if record["figures"]["psnr"] is not None:
            found[record["kind"]][record["label"]].append(record["figures"]["psnr"])
    chosen: dict[str, dict[str, Any]] = {}
    for setting, values in found.items():
        chosen[setting] = {}
        for grid in GRIDS:
            means = [
                (float(np.mean(values[label(grid.method, value)])), value)
                for value in grid.values
                if label(grid.method, value) in values
            ]
            if means:
                chosen[setting][grid.method] = max(means, key=itemgetter(0))[1]
    return chosen


def label(method: str, value: Any) -> str:
    """Of a method with one value of its setting."""
    return f"{method}, {value}"
