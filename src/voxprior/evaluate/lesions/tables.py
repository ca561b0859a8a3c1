"""The sections of the page about lesions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from voxprior.evaluate.lesions.contenders import LABELS, ONE_STEP
from voxprior.evaluate.lesions.protocols import MULTIPLE
from voxprior.evaluate.markdown import estimate, interval, provenance, section, table, unique
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.sr.contenders import CUBIC, MEAN
from voxprior.evaluate.statistics import Mean, Record, latest, mean_over_subjects, rate_over_subjects

ALL = "all"
_RECOVERED = f"""What the restored image gained in contrast by the lesion, over what the truth gained: 1 is all of it.
Ellipsoids of the volume of a sphere of that diameter, half of them bright, half dark, with a contrast of {MULTIPLE:g}
local standard deviations, in blocks of the test truths, which are then measured in thick slices. Means over subjects,
with the 95 % bootstrap interval over subjects."""
_ERROR = """Contrast in the restored image less that in the truth with the lesion, root mean square over the lesions
of a subject, in units of what was inserted: the lesion that is lost and the anatomy that is made wrong around it."""
_FALSE = """Connected places where a ball of 3, 5, 8 or 12 mm stands out from the shell around it by so many local
standard deviations of the truth. Shown: the restored image has it, the truth not half of it within 2 mm. Error: the
difference of both has it. The bound is one-sided, 95 %, a litre of head: the larger of the exact Poisson one and that
of a bootstrap over subjects."""


def part(folder: Path) -> str:
    """The sections, from ``folder``/lesions.jsonl and the remarks beside it; empty without results."""
    found = results(folder, "lesions").records()
    return render(found, remarks_of(folder, "lesions")) if found else ""


def render(records: Iterable[Record], remarks: str = "") -> str:
    """The sections as Markdown: contrast, its error, gain over cubic and false blobs of each slice distance."""
    found = latest(records)
    kinds = sorted(unique(r["kind"] for r in found), reverse=True)
    parts = []
    for kind in kinds:
        mine = [r for r in found if r["kind"] == kind]
        parts += [
            section(f"Lesions, {kind}: contrast that comes back", _told(_RECOVERED, _recovered(mine))),
            section(f"Lesions, {kind}: error of the contrast", _told(_ERROR, _errors(mine))),
        ]
    parts += [
        section("Lesions: what ours recovers beyond cubic", _gains(found, kinds)),
        section("Blobs that the truth does not have", _told(_FALSE, _false(found, kinds))),
        provenance(found) + "\n",
        remarks.strip() + "\n" if remarks.strip() else "",
    ]
    return "\n".join(text for text in parts if text)


def _told(text: str, body: str) -> str:
    return body and f"{text}\n\n{body}"


def _labels(records: Sequence[Record]) -> list[str]:
    have = {r["label"] for r in records}
    return [label for label in LABELS if label in have]


def _sizes(records: Sequence[Record]) -> list[str]:
    return sorted({size for r in records for size in r["figures"]["insertions"]}, key=float)


def _values(record: Record, size: str, figure: str, shade: str = ALL) -> list[float]:
    """One figure of the insertions of ``size`` in ``record``; ``shade``: all, bright or dark."""
    found = record["figures"]["insertions"].get(size)
    if found is None:
        return []
    wanted = {ALL: (0, 1), "bright": (1,), "dark": (0,)}[shade]
    return [value for value, bright in zip(found[figure], found["bright"], strict=True) if bright in wanted]


def _mean(records: Sequence[Record], label: str, size: str, shade: str = ALL) -> Mean | None:
    mine = [r for r in records if r["label"] == label]
    return mean_over_subjects((r["case"]["subject"], v) for r in mine for v in _values(r, size, "recovered", shade))


def _count(records: Sequence[Record], label: str, size: str) -> int:
    return sum(len(_values(r, size, "recovered")) for r in records if r["label"] == label)


def _recovered(records: Sequence[Record]) -> str:
    labels, rows = _labels(records), []
    for size in _sizes(records):
        counts = {label: _count(records, label, size) for label in labels}
        shown = str(max(counts.values()))
        cells = [
            estimate(_mean(records, label, size)) + ("" if str(count) == shown else f" ({count})")
            for label, count in counts.items()
        ]
        rows.append([f"{size} mm", shown, *cells])
    slices = sorted({r["figures"]["slice_mm"] for r in records})
    body = table(["diameter", "insertions", *labels], rows)
    span = f"Slices of {slices[0]:.1f} to {slices[-1]:.1f} mm; {len({r['case']['subject'] for r in records})} subjects."
    return f"{span} {_verdict(records)}\n\n{body}"


def _verdict(records: Sequence[Record]) -> str:
    """Whether our mean recovers at least the lower bound of cubic, size by size."""
    below = []
    for size in _sizes(records):
        ours, base = _mean(records, MEAN, size), _mean(records, CUBIC, size)
        if ours is None or base is None or base.low is None:
            return ""
        if ours.value < base.low:
            below.append(f"{size} mm")
    return f"Ours, mean, lies below the lower bound of cubic at {', '.join(below) or 'no size'}."


def _errors(records: Sequence[Record]) -> str:
    labels, rows = _labels(records), []
    for size in _sizes(records):
        cells = []
        for label in labels:
            mine = [(r["case"]["subject"], _values(r, size, "error")) for r in records if r["label"] == label]
            cells.append(
                estimate(mean_over_subjects((s, float(np.sqrt(np.mean(np.square(v))))) for s, v in mine if v))
            )
        rows.append([f"{size} mm", *cells])
    return table(["diameter", *labels], rows)


def _gains(records: Sequence[Record], kinds: Sequence[str]) -> str:
    """Differences from cubic in the same lesions, subject by subject, and by shade."""
    rows = []
    for kind in kinds:
        mine = [r for r in records if r["kind"] == kind]
        for label in (MEAN, ONE_STEP):
            for size in _sizes(mine) if label in _labels(mine) else []:
                shades = [_gain(mine, label, size, shade) for shade in (ALL, "bright", "dark")]
                rows.append([kind, label, f"{size} mm", *map(interval, shades)])
    return table(["case", "method", "diameter", "all", "bright", "dark"], rows)


def _gain(records: Sequence[Record], label: str, size: str, shade: str) -> Mean | None:
    pairs = []
    for r in (r for r in records if r["label"] == label):
        base = next((b for b in records if b["name"] == r["name"] and b["label"] == CUBIC), None)
        if base is not None:
            both = zip(_values(r, size, "recovered", shade), _values(base, size, "recovered", shade), strict=True)
            pairs += [(r["case"]["subject"], ours - theirs) for ours, theirs in both]
    return mean_over_subjects(pairs)


def _false(records: Sequence[Record], kinds: Sequence[str]) -> str:
    rows = []
    for kind in kinds:
        mine = [r for r in records if r["kind"] == kind]
        for level in sorted({v for r in mine for v in r["figures"]["false"]}, key=float):
            for label in _labels(mine):
                here = [r for r in mine if r["label"] == label]
                rows.append([kind, level, label, *_rates(here, level)])
    head = ["bright", "dark", "shown, a litre [bound]", "error, a litre [bound]", "the truth's own, a litre"]
    return table(["case", "contrast", "method", "litres", *head], rows)


def _rates(records: Sequence[Record], level: str) -> list[str]:
    def counted(*names: str) -> list[tuple[str, int, float]]:
        return [
            (r["case"]["subject"], sum(r["figures"]["false"][level][n] for n in names), r["figures"]["litres"])
            for r in records
        ]

    shown, error, truth = (rate_over_subjects(counted(*n)) for n in (("bright", "dark"), ("error",), ("truth",)))
    assert shown is not None and error is not None and truth is not None
    numbers = [str(sum(n for _, n, _ in counted(name))) for name in ("bright", "dark")]
    rates = [f"{r.value:.2f} [{r.upper:.2f}]" for r in (shown, error)]
    return [f"{shown.searched:.2f}", *numbers, *rates, f"{truth.value:.2f}"]
