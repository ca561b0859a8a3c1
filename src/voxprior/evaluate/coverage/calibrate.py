"""Factors that intervals are widened by, found on subjects that were never fitted, and kept in the card of weights."""

from __future__ import annotations

import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from voxprior.errors import InputError
from voxprior.evaluate.calibration import LEVELS
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.coverage.conformal import Scores, left_out, pooled_quantile, std_factor
from voxprior.evaluate.coverage.measure import card_of, degrade, find, options_of, rms, scores
from voxprior.evaluate.coverage.protocols import (
    DRAWN_EDGE,
    EDGE,
    PROTOCOL,
    RECON,
    Case,
    calibrate_cases,
    contenders,
    runs_on,
)
from voxprior.evaluate.markdown import unique
from voxprior.priors.weights import read_card
from voxprior.priors.widening import KEY
from voxprior.registry import weights_place

RATIO_DIGITS = 6
QUANTILES = 4000
"""That the scores of a block are kept as: they hold a level to an eightieth of a per cent."""


class Seen(NamedTuple):
    """What blocks of one subject say of a kind of spread: scores by level, and rms of error and std."""

    scores: Mapping[float, Scores]
    sizes: tuple[float, float]
    samples: int | None

    def beside(self, other: Seen | None) -> Seen:
        """Of both; each block counts as one."""
        if other is None:
            return self
        scores = {level: np.concatenate([other.scores[level], own]) for level, own in self.scores.items()}
        sizes = math.hypot(self.sizes[0], other.sizes[0]), math.hypot(self.sizes[1], other.sizes[1])
        return Seen(scores, sizes, self.samples)


Table = dict[str, dict[float, dict[str, Seen]]]
"""Kind of spread, ratio, subject."""


def calibrate(
    data: Path,
    only: Sequence[str] = (),
    chosen: Sequence[Contender] | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, list[str]]:
    """Measure spreads on the subjects of ``data`` with role calibrate and write the factors into the cards.

    ``only``: words that must all occur in ``JOB LABEL``; kinds of spread that are not measured anew keep their factors.
    Returns the kinds written, by weights. Raises :class:`InputError` for missing data or weights.
    """
    cases = calibrate_cases(data)
    mine = [c for c in (contenders() if chosen is None else chosen)
            if all(word in f"{c.place} {c.label}" for word in only)]
    written = {}
    for weights in unique(str(c.options["weights"]) for c in mine):
        own = [c for c in mine if str(c.options["weights"]) == weights]
        table = collect(data, cases, own, report)
        about = [case for case in cases if any(_counts(c, case) for c in own)]
        write(weights, table, about)
        written[weights] = sorted(table)
    if not written:
        raise InputError(f"--only {' '.join(only)} matches nothing; words are parts of 'JOB LABEL'")
    return written


def collect(
    data: Path, cases: Sequence[Case], chosen: Sequence[Contender], report: Callable[[str], None]
) -> Table:
    """What every block says of the spread of each of ``chosen``."""
    table: Table = defaultdict(lambda: defaultdict(dict))
    for case in cases:
        running = [c for c in chosen if _counts(c, case)]
        problem = degrade(data, case) if running else None
        for contender in running:
            assert problem is not None
            found = find(case, contender, problem)
            seen = Seen(
                {level: condensed(scores(found, level)) for level in LEVELS},
                (rms(found.error), rms(found.seen(found.spread.invented))),
                found.spread.samples,
            )
            # Millimetres divided by millimetres: 8 is not always 8.0 to the last digit.
            here = table[found.spread.kind][round(found.spread.ratio, RATIO_DIGITS)]
            here[case.subject] = seen.beside(here.get(case.subject))
            report(f"{case.name}  {contender.label}: {found.seconds:.1f} s, {found.error.size} voxels")
    return table


def condensed(values: Scores) -> Scores:
    """Evenly spaced quantiles of ``values`` (voxel,), as they are where there are few: a subject weighs the same."""
    return values if len(values) <= QUANTILES else np.quantile(values, (np.arange(QUANTILES) + 0.5) / QUANTILES)


def factors(by_ratio: Mapping[float, Mapping[str, Seen]]) -> dict[str, Any]:
    """The entry of the card for one kind of spread; ``left_out``: coverage of each subject by the others' factors."""
    ratios = sorted(by_ratio)

    def at(ratio: float, level: float) -> dict[str, Scores]:
        return {subject: seen.scores[level] for subject, seen in by_ratio[ratio].items()}

    apart = {(r, level): list(left_out(at(r, level), level).values()) for r in ratios for level in LEVELS}
    return {
        "ratios": ratios,
        "subjects": min(len(by_ratio[r]) for r in ratios),
        "samples": next(seen.samples for seen in by_ratio[ratios[0]].values()),
        "widths": {f"{v:g}": [round(pooled_quantile(at(r, v), v), 5) for r in ratios] for v in LEVELS},
        "std": [round(std_factor([seen.sizes for seen in by_ratio[r].values()]), 5) for r in ratios],
        "left_out": {
            f"{v:g}": {
                "mean": [round(sum(apart[r, v]) / len(apart[r, v]), 4) for r in ratios],
                "least": [round(min(apart[r, v]), 4) for r in ratios],
            }
            for v in LEVELS
        },
    }


def write(weights: str, table: Table, cases: Sequence[Case]) -> None:
    """Put the factors of ``table`` into the card of ``weights``, beside those of other kinds of the same file."""
    path = weights_place(weights).path
    if path is None:
        raise InputError(f"--weights {weights}: its card is not on this machine; give a file")
    target = path.with_suffix(".json")
    card = read_card(target)
    known = card.get(KEY) or {}
    before = known["kinds"] if known.get("sha256") == card["sha256"] else {}
    scanners, modalities = (sorted(unique(getattr(c, name) for c in cases)) for name in ("scanner", "modality"))
    subjects = len({c.subject for c in cases})
    bare = " and ".join(re.sub(r"\s*\(.*\)", "", scanner) for scanner in scanners)
    values = {
        "sha256": card["sha256"],
        "protocol": PROTOCOL,
        "on": f"{subjects} subjects of the training scanners ({', '.join(modalities)}; {bare}), never fitted",
        "scanners": scanners,
        "modalities": modalities,
        "blocks": f"middle of the head, {EDGE} voxels a side ({DRAWN_EDGE} where samples are drawn), no noise"
        if all(case.job != RECON for case in cases)
        else "one slice a subject, simulated coils and noise",
        "kinds": {**before, **{kind: factors(found) for kind, found in table.items()}},
    }
    temporary = target.with_name(target.name + ".part")
    temporary.write_text(json.dumps({**card, KEY: values}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, target)


def _counts(contender: Contender, case: Case) -> bool:
    """The mean is widened on the large blocks alone; on the small ones it only stands beside the samples."""
    if not runs_on(contender, case):
        return False
    card_of(options_of(case, contender))
    return case.edge != DRAWN_EDGE or contender.options["mode"] == "sample"
