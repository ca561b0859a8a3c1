"""The sections of the page about intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.calibration import LEVELS
from voxprior.evaluate.coverage.protocols import DRAWN_EDGE, FACTORS
from voxprior.evaluate.markdown import listed, number, provenance, section, table, unique
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.statistics import Record, latest, mean_over_subjects

T1W = "T1w"
AIM = 0.05
"""Largest distance of the mean coverage over T1w subjects from its level."""
_HELD = """`voxprior evaluate coverage --data DIR`: the part of the head's voxels whose true value lies in the interval,
in blocks of the test subjects, by what the card of the weights says of this kind of spread. Widened on nine other
subjects, each counting as one. With nine, 50 / 80 / 90 % are sure to hold at least 45 / 72 / 81 % of the voxels of one
more subject like them, on average; for other scanners and contrasts nothing is sure, and coverage is only measured.
In brackets: the std of the null space, not widened."""
_SHARP = """Mean width of the widened intervals of 90 %, in per cent of full scale, and that of an interval of one width
for all voxels of the head that holds as many of them: what the map is worth. Means over subjects."""
_SOURCE = f"""In blocks of {DRAWN_EDGE} voxels: a std that the network predicts in one pass a plane, against the spread
of posterior samples. Width at exactly 90 % in each subject, so that only the map and the estimate in the middle
count."""


def part(folder: Path) -> str:
    """The sections, from ``folder``/coverage.jsonl; empty without results."""
    found = results(folder, "coverage").records()
    return render(found, remarks_of(folder, "coverage")) if found else ""


def render(records: Iterable[Record], remarks: str = "") -> str:
    """The sections as Markdown: coverage by subject, means and the aim, sharpness, and the sources of a std."""
    found = latest(records)
    large = [r for r in found if r["case"]["edge"] != DRAWN_EDGE or r["label"] != "mean"]
    small = [r for r in found if r["case"]["edge"] == DRAWN_EDGE]
    summary = _told(_HELD, "\n\n".join(text for text in (_means(large), _verdict(large)) if text))
    parts = [
        section("What the intervals hold", summary),
        section("What the intervals hold, by subject", _subjects(large)),
        section("Width of the intervals", _told(_SHARP, _widths(large))),
        section("A predicted std, or samples", _told(_SOURCE, _sources(small))),
        provenance(found) + "\n",
        remarks.strip() + "\n" if remarks.strip() else "",
    ]
    return "\n".join(text for text in parts if text)


def verdict(records: Sequence[Record]) -> list[str]:
    """Kinds, factors and levels where the mean over T1w subjects is further from its level than :data:`AIM`."""
    far = []
    for what, mine in _groups([r for r in records if r["case"]["modality"] == T1W]):
        for level in LEVELS:
            mean = mean_over_subjects((r["case"]["subject"], _coverage(r, level)) for r in mine)
            if mean is not None and abs(mean.value - level) > AIM:
                far.append(f"{what} at {level:.0%} ({mean.value:.0%})")
    return far


def _told(text: str, body: str) -> str:
    return body and f"{text}\n\n{body}"


def _figures(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = record["figures"]["widened"] or record["figures"]["nominal"]
    return found


def _coverage(record: Record, level: float) -> float:
    return float(_figures(record)["coverage"][f"{level:g}"])


def _groups(records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Records by kind of degradation and of spread, factors ascending."""
    pairs = sorted(unique((r["label"], r["kind"]) for r in records), key=lambda p: (p[0], p[1]))
    return [
        (f"{kind}, {label}", [r for r in records if (r["label"], r["kind"]) == (label, kind)]) for label, kind in pairs
    ]


def _means(records: Sequence[Record]) -> str:
    rows = []
    for what, every in _groups(records):
        for modality in unique(r["case"]["modality"] for r in every):
            mine = [r for r in every if r["case"]["modality"] == modality]
            own = [r for r in mine if r["figures"]["word"] == "calibrated"]
            rows.append(_mean_row(what, modality, mine))
            if own and len(own) < len(mine):
                rows.append(_mean_row(what, f"{modality}, scanners of the nine", own))
    levels = [f"held by {level:.0%}, %" for level in LEVELS]
    return table(["case", "contrast", "subjects", *levels, "rms std / rms error"], rows)


def _mean_row(what: str, contrast: str, records: Sequence[Record]) -> list[str]:
    cells = []
    for level in LEVELS:
        held = listed(((r["case"]["subject"], 100 * _coverage(r, level)) for r in records), 0)
        plain = mean_over_subjects(
            (r["case"]["subject"], 100 * r["figures"]["nominal"]["coverage"][f"{level:g}"]) for r in records
        )
        cells.append(f"{held} ({number(plain.value if plain else None, 0)})")
    ratio = listed([(r["case"]["subject"], _figures(r)["ratio"]) for r in records])
    return [what, contrast, str(len({r["case"]["subject"] for r in records})), *cells, ratio]


def _verdict(records: Sequence[Record]) -> str:
    far = verdict([r for r in records if r["figures"]["widened"]])
    held = "everywhere" if not far else f"but for {'; '.join(far)}"
    return f"Mean over T1w subjects within {100 * AIM:.0f} points of the level {held}."


def _subjects(records: Sequence[Record]) -> str:
    mine = [r for r in records if r["label"] == "mean" and r["case"]["job"] == "sr"]
    rows = []
    for subject in unique(r["case"]["subject"] for r in mine):
        own = {r["case"]["factor"]: r for r in mine if r["case"]["subject"] == subject}
        one = next(iter(own.values()))
        cells = [
            " / ".join(f"{100 * _coverage(own[f], level):.0f}" for level in LEVELS) if f in own else "-"
            for f in FACTORS
        ]
        rows.append([subject, one["case"]["modality"], one["figures"]["word"] or "not calibrated", *cells])
    return table(["subject", "contrast", "word", *(f"x{f}: 50 / 80 / 90 %" for f in FACTORS)], rows)


def _widths(records: Sequence[Record]) -> str:
    rows, name = [], f"{LEVELS[-1]:g}"
    for what, every in _groups(records):
        for modality in unique(r["case"]["modality"] for r in every):
            mine = [r for r in every if r["case"]["modality"] == modality]
            cells = [listed([(r["case"]["subject"], _figures(r)[column][name]) for r in mine], 1)
                     for column in ("width", "constant")]
            share = [(r["case"]["subject"], _figures(r)["width"][name] / _figures(r)["constant"][name]) for r in mine]
            rows.append([what, modality, *cells, listed(share)])
    return table(["case", "contrast", "width, %", "one width for all, %", "ratio"], rows)


def _sources(records: Sequence[Record]) -> str:
    rows, name = [], f"{LEVELS[-1]:g}"
    for what, mine in _groups(records):
        def over(column: str, mine: Sequence[Record] = mine) -> str:
            return listed([(r["case"]["subject"], r["figures"]["nominal"][column][name]) for r in mine], 1)

        seconds = listed([(r["case"]["subject"], r["figures"]["seconds"]) for r in mine], 1)
        calls = str(mine[0]["figures"]["network_calls"])
        rows.append([what, over("sharp"), over("constant_at_level"), calls, seconds])
    return table(["case", "width at 90 %, %", "one width for all", "network calls", "seconds"], rows)
