"""The part of the page about one step against many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from voxprior.evaluate.markdown import listed, number, provenance, section, table, unique
from voxprior.evaluate.one_step.contenders import LABELS, MEAN, REGRESSOR, STUDENT, TILED
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.statistics import Record, latest, paired
from voxprior.evaluate.store import Store

_HEAD = """## One step

`voxprior evaluate one-step --data DIR`. Blocks of 128 voxels a side at the centre of the test subjects (less where the
head is smaller), slab means of 4 and of 8 voxels, as OS-DDPM's protocol has them but for its resampling to 128^3.
PSNR and SSIM of the whole block; the range is the 99.9th percentile of the truth. Energy: of the frequencies that the
slices cannot carry, over the truth's; 1 is as sharp as the truth. Figures are without and with the exact projection
onto the slices. Seconds: median of three runs on one thread, without the projection; beside them what they would be if
all of the work slowed down as the bare convolution that was measured beside each does, to 60 GFLOP/s.
"""
FIGURES = (("seconds", 0), ("psnr", 2), ("high_frequency_ratio", 2))
SPEED = 60.0
"""GFLOP/s that seconds are scaled to."""


def part(folder: Path) -> str:
    """The part of the page, from ``folder``/one-step.jsonl; empty without results."""
    found = results(folder, "one-step").records()
    curves = Store(folder / "distillation.jsonl").records()
    return render(found, remarks_of(folder, "one-step"), curves) if found else ""


def render(records: Iterable[Record], remarks: str = "", curves: Sequence[Record] = ()) -> str:
    """The part as Markdown; ``curves``: validations of distillations."""
    own = latest(records)
    parts = [f"{_HEAD}\n{provenance(own)}\n"]
    for kind in unique(r["kind"] for r in own):
        mine = [r for r in own if r["kind"] == kind]
        subjects = len({r["case"]["subject"] for r in mine})
        parts.append(section(f"{kind}: {subjects} subjects", _contest(mine)))
    parts += [
        section("PSNR against sharpness, after the projection", _curve(own)),
        section("Seams", _seams(own)),
        section("Distillation, step by step", _distillation(curves)),
        remarks.strip() + "\n" if remarks.strip() else "",
    ]
    return "\n".join(part for part in parts if part)


def _contest(records: Sequence[Record]) -> str:
    rows = []
    for label in (name for name in LABELS if name != TILED):
        mine = [r for r in records if r["label"] == label]
        if not mine:
            continue

        def over(figure: str, digits: int, mine: Sequence[Record] = mine) -> str:
            return listed(((r["case"]["subject"], r["figures"][figure]) for r in mine), digits)

        seconds = [(r["case"]["subject"], _scaled(r["figures"])) for r in mine]
        first = mine[0]["figures"]
        rows.append([
            label,
            *(over(f"{name}{end}", digits) for name, digits in (("psnr", 2), ("ssim", 4), ("high_frequency_ratio", 2))
              for end in ("", "_projected")),
            f"{max(r['figures']['residual'] for r in mine):.1e}",
            str(first["network_calls"] or "-"),
            over("seconds", 2),
            listed(seconds, 2),
            _memory(mine),
            f"{first['parameters'] / 1e6:.2f}" if first["parameters"] else "-",
            number(first["multiply_adds"] / 1e3, 1) if first["multiply_adds"] else "-",
        ])
    header = [
        *("method", "PSNR, dB", "projected", "SSIM", "projected", "energy", "projected", "largest residual", "calls"),
        *("seconds", "at 60 GFLOP/s", "memory, MiB", "parameters, million", "multiply-adds a voxel and call, thousand"),
    ]
    return table(header, rows)


def _scaled(figures: Record) -> float:
    return float(figures["seconds"] * figures["gflops_yardstick"] / SPEED)


def _memory(records: Sequence[Record]) -> str:
    known = [r["figures"]["extra_memory_bytes"] for r in records if r["figures"]["extra_memory_bytes"] is not None]
    return f"{max(known) / 2**20:.0f}" if known else "-"


def _curve(records: Sequence[Record]) -> str:
    """Of each method: dB over the mean mode in the same block, and the energy; the mean mode's own first."""
    rows = []
    for kind in unique(r["kind"] for r in records):
        mine = [r for r in records if r["kind"] == kind]
        gains = paired(mine, "psnr_projected")
        subject = {r["name"]: r["case"]["subject"] for r in mine}
        for label in (MEAN, REGRESSOR, *(name for name in LABELS if STUDENT in name and name != TILED)):
            chosen = [r for r in mine if r["label"] == label and MEAN in gains[r["name"]]]
            if chosen:
                energy = [(r["case"]["subject"], r["figures"]["high_frequency_ratio_projected"]) for r in chosen]
                lost = [(subject[r["name"]], gains[r["name"]][label] - gains[r["name"]][MEAN]) for r in chosen]
                rows.append([kind, label, listed(lost, sign="+"), listed(energy)])
    return table(["slices", "method", "PSNR over the mean mode, dB", "energy over the truth's"], rows)


def _seams(records: Sequence[Record]) -> str:
    rows = []
    for kind in unique(r["kind"] for r in records):
        found = {
            label: {r["name"]: r["figures"]["seam_index"] for r in records if (r["kind"], r["label"]) == (kind, label)}
            for label in (STUDENT, TILED)
        }
        names = [name for name in found[TILED] if name in found[STUDENT]]
        if not names:
            continue
        ratios = [t / w for name in names for t, w in zip(found[TILED][name], found[STUDENT][name], strict=True)]
        largest = [max(i for name in names for i in found[label][name]) for label in (TILED, STUDENT)]
        shown = (*largest, max(ratios), sum(ratios) / len(ratios))
        rows.append([kind, str(len(names)), *(number(value, 3) for value in shown)])
    header = ("slices", "blocks", "largest index, in tiles", "as a whole", "largest ratio", "mean ratio")
    body = table(header, rows)
    return body and (
        "The student in tiles of 16 slices by 64 by 64 voxels that share half of each. The index is the mean step "
        "across the borders of tiles over that beside them, an axis; anatomy and the slices have steps of their own "
        f"there, so the same borders are looked at in the volume that was made as a whole.\n\n{body}"
    )


def _distillation(curves: Sequence[Record]) -> str:
    rows = [
        [r["label"], str(r["step"]), *(number(r[name], digits) for name, digits in FIGURES)]
        for r in curves
    ]
    body = table(["distillation", "step", "seconds", "PSNR, dB", "energy over the truth's"], rows)
    return body and (
        "Mean over the tune subjects at x4 and x8 after the projection, one sample each; written by "
        f"`benchmarks/distillation.py`. All start from the same teacher and see the same examples.\n\n{body}"
    )
