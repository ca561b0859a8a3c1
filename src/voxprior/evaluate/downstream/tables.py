"""The section of the page about tissue volumes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from voxprior.evaluate.downstream.tissue import CLASSES
from voxprior.evaluate.markdown import provenance, section, table, unique
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.sr.contenders import CUBIC
from voxprior.evaluate.statistics import Record, latest

_HEAD = """A mixture of three Gaussians of one width, fitted by expectation maximisation to the intensities within
the mask of the truth, of each image for itself: dark, middle, bright (of a T1w scan: fluid, grey and white matter); of
two, dark and bright, where three of the truth do not lie a standard deviation apart. Relative error of the volume of
a class, and in brackets the overlap (Dice) with the class of the truth. Of samples the volumes and overlaps are
averaged. Scans without skull alone, each subject listed; the mean magnitude is over those that have the class."""


def part(folder: Path) -> str:
    """The section, from ``folder``/downstream.jsonl and the remarks beside it; empty without results."""
    found = results(folder, "downstream").records()
    return render(found, remarks_of(folder, "downstream")) if found else ""


def render(records: Iterable[Record], remarks: str = "") -> str:
    """The section as Markdown: every subject, and the mean magnitude of the errors."""
    found = latest(records)
    rows, means = [], []
    for kind in sorted(unique(r["kind"] for r in found), reverse=True):
        mine = [r for r in found if r["kind"] == kind]
        for label in unique(r["label"] for r in mine):
            here = [r for r in mine if r["label"] == label]
            means.append([kind, label, str(len({r["case"]["subject"] for r in here})), *_means(here)])
        rows += [
            [r["case"]["subject"], r["case"]["modality"], kind, r["label"], *(_cell(r, name) for name in CLASSES)]
            for r in mine
        ]
    body = table(["case", "method", "subjects", *(f"{name}, mean magnitude of the error" for name in CLASSES)], means)
    every = table(["subject", "modality", "case", "method", *CLASSES], rows)
    parts = [
        section("Volumes of tissue", f"{_HEAD} {_verdict(found)}\n\n{body}\n\n{every}"),
        provenance([r for r in found if r["weights"]]) + "\n",
        remarks.strip() + "\n" if remarks.strip() else "",
    ]
    return "\n".join(text for text in parts if text.strip())


def _cell(record: Record, name: str) -> str:
    f = record["figures"]
    if name not in f["error"]:
        return "-"
    overlap = f" ({f['dice'][name]:.2f})" if "dice" in f else ""
    return f"{f['error'][name]:+.1%}{overlap}"


def _size(records: Sequence[Record], name: str) -> float:
    errors = [r["figures"]["error"] for r in records]
    return float(np.mean([abs(e[name]) for e in errors if name in e] or [np.nan]))


def _means(records: Sequence[Record]) -> list[str]:
    return [f"{_size(records, name):.1%}" for name in CLASSES]


def _verdict(records: Sequence[Record]) -> str:
    """Where ours errs more than cubic, on average over subjects."""
    told = []
    for label in unique(r["label"] for r in records if r["label"].startswith("voxprior")):
        worse = []
        for kind in unique(r["kind"] for r in records if r["label"] == label):
            ours, base = ([r for r in records if r["kind"] == kind and r["label"] == who] for who in (label, CUBIC))
            if base:
                worse += [f"{kind}, {name}" for name in CLASSES if _size(ours, name) >= _size(base, name)]
        told.append(f"{label}: {'; '.join(worse) or 'no class'}.")
    return f"No less than cubic errs {' '.join(told)}" if told else ""
