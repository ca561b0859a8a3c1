"""The sections of the page about bench tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from voxprior.evaluate.bench.edge import FREQUENCIES
from voxprior.evaluate.bench.measure import SLICES
from voxprior.evaluate.bench.noise import BANDS
from voxprior.evaluate.bench.protocols import DISC, EDGE, NOISE, WHITE
from voxprior.evaluate.lesions.contenders import LABELS
from voxprior.evaluate.markdown import number, provenance, section, table, unique
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.statistics import Record, latest

ORDER = (SLICES, *LABELS)
_EDGE = """A slanted interface in an ellipsoid, slices 5 mm thick from a closed form, restored to 1 mm. Modulation
transfer along the slice axis, which for methods that are not linear is that of this contrast alone; the slices
themselves end at 0.10 cycles a mm, above which they only alias."""
_NOISE = f"""White noise of {NOISE:.0%} in the slices of the uniform ellipsoid; the image of the noisy slices less
that of the clean ones. Std in units of that of the slices; power per cycle a mm over that of the noise of the slices,
in bands; detail: the noise that the finest detail of the planes shows."""
_DISCS = """Flat cylinders along the slice axis at 36 places, four phases of the slices, in noise of the same
strength: d' of a non-prewhitening observer who knows disc, place and how the method shows it without noise; 95 %
bootstrap interval over places. A restoration adds no information: an observer who makes the best of the slices loses
nothing without it."""


def part(folder: Path) -> str:
    """The sections, from ``folder``/bench.jsonl and the remarks beside it; empty without results."""
    found = results(folder, "bench").records()
    return render(found, remarks_of(folder, "bench")) if found else ""


def render(records: Iterable[Record], remarks: str = "") -> str:
    """The sections as Markdown: resolution, noise, low contrast."""
    found = latest(records)

    def rows(test: str, cells: Callable[[Record], Sequence[str]]) -> list[list[str]]:
        mine = [r for r in found if r["case"]["test"] == test]
        kinds = unique(r["kind"] for r in mine)
        mine.sort(key=lambda r: (kinds.index(r["kind"]), (*ORDER, r["label"]).index(r["label"])))
        return [[r["kind"], r["label"], *cells(r)] for r in mine]

    transfer = [f"at {f:g}" for f in FREQUENCIES]
    bands = [f"{low:g} to {high:g}" for low, high in BANDS]
    edge = table(["phantom", "method", "half at, cycles / mm", "tenth at", *transfer], rows(EDGE, _edge))
    head = ["phantom", "method", "std", "detail", *(f"{where} {b}" for where in ("across", "within") for b in bands)]
    noise = table(head, rows(WHITE, _noise))
    discs = table(["phantom", "method", "d' [95 %]", "discs"], rows(DISC, _discs))
    parts = [
        section("Phantom: resolution across the slices", edge and f"{_EDGE}\n\n{edge}"),
        section("Phantom: noise", noise and f"{_NOISE}\n\n{noise}"),
        section("Phantom: low contrast", discs and f"{_DISCS}\n\n{discs}"),
        provenance([r for r in found if r["weights"]]) + "\n",
        remarks.strip() + "\n" if remarks.strip() else "",
    ]
    return "\n".join(text for text in parts if text.strip())


def _edge(record: Record) -> list[str]:
    f = record["figures"]
    return [number(f["half"], 3), number(f["tenth"], 3), *(number(v, 2) for v in f["transfer"])]


def _noise(record: Record) -> list[str]:
    f = record["figures"]
    return [number(f["std"], 2), number(f["detail"], 2), *(number(v, 2) for v in (*f["across"], *f["within"]))]


def _discs(record: Record) -> list[str]:
    f = record["figures"]
    d = f["detectability"]
    return [f"{d['value']:.2f} [{d['low']:.2f}, {d['high']:.2f}]", str(f["discs"])]
