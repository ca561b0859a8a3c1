"""The part of the page about samplers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.markdown import number, provenance, section, table, unique
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.samplers.contenders import MEAN, PARTS
from voxprior.evaluate.statistics import Record, latest

PLANES = ("axial", "coronal", "sagittal")
SHARED = ("PSNR, dB", "in the head", "SSIM")
BY_PLANE = ("PSNR axial / coronal / sagittal", "SSIM axial / coronal / sagittal")

_HEAD = """## Samplers

`voxprior evaluate samplers --data DIR`: slices five voxels thick of a block of 64 voxels in the middle of the head. One
sample is compared with one sample, the mean of K with the mean of K; the figures of one sample are means over the K. A
perfect sample of the posterior lies 3 dB below the posterior mean. Range: 99.9th percentile of the truth. PSNR and SSIM
of a plane are means over its slices. Calls of the network are those of one sample; those of TPDM, DPS and Pi-GDM go
backwards through the network too (TPDM: on half of its steps), which takes about twice as long again.
"""


def part(folder: Path) -> str:
    """The part of the page, from ``folder``/samplers.jsonl and what lies beside it; empty without results."""
    found = results(folder, "samplers").records()
    return render(found, remarks_of(folder, "samplers")) if found else ""


def render(records: Iterable[Record], remarks: str = "") -> str:
    """The part as Markdown: each block with one sample, the mean of several, and the parts of a sampler."""
    found = latest(records)
    parts = [f"{_HEAD}\n{provenance(found)}\n"]
    for name in unique(r["name"] for r in found):
        mine = [r for r in found if r["name"] == name]
        shape = " x ".join(map(str, mine[0]["figures"]["shape"]))
        who = f"{mine[0]['case']['subject']} ({mine[0]['case']['group']}), {shape}"
        methods = [r for r in mine if r["label"] not in PARTS]
        parts += [
            section(f"One sample: {who}", _samples(methods)),
            section(f"The mean: {who}", _means(methods)),
            section(f"The parts of a sampler, one sample of 20 calls: {who}", _parts(mine)),
        ]
    return "\n".join(part for part in (*parts, remarks.strip() + "\n" if remarks.strip() else "") if part)


def _samples(records: Sequence[Record]) -> str:
    rows = [
        [r["label"], *_shared(f), *_planes(f), number(f["residual"], None), _calls(r), _seconds(r)]
        for r in records
        if (f := r["figures"]["one"]) is not None
    ]
    return table(["method", *SHARED, *BY_PLANE, "residual", "calls", "seconds"], rows)


def _means(records: Sequence[Record]) -> str:
    """Estimates of the mean: without samples, or of several."""
    rows = []
    for r in records:
        f = r["figures"]
        if f["samples"] == 1:
            continue
        label = f"{r['label']}, mean of {f['samples']}" if f["samples"] else r["label"]
        calls = str(f["network_calls"]) if f["network_calls"] else "-"
        rows.append([label, *_shared(f), *_planes(f), number(f["residual"], None), calls, number(f["seconds"], 1)])
    return table(["method", *SHARED, *BY_PLANE, "residual", "calls", "seconds"], rows)


def _parts(records: Sequence[Record]) -> str:
    found = {r["label"]: r for r in records}
    rows = []
    for label in (*PARTS, MEAN):
        if label in found:
            whole = found[label]["figures"]
            f = whole["one"] or whole
            together = number(whole["psnr"], 2) if whole["samples"] > 1 or label == MEAN else "-"
            jitter = " / ".join(number(f["jitter"][plane], 3) for plane in PLANES)
            fidelity = [number(f["psnr"], 2), together, number(f["ssim"], 4), number(f["residual"], None)]
            rows.append([label, *fidelity, jitter])
    header = ["sampler", "PSNR, dB", "of the mean", "SSIM", "residual"]
    if not any(label != MEAN for label in found if label in (*PARTS, MEAN)):
        return ""
    body = table([*header, "jitter axial / coronal / sagittal"], rows)
    return "Jitter: mean absolute difference of neighbouring slices, over that of the truth.\n\n" + body


def _shared(f: Mapping[str, Any]) -> list[str]:
    return [number(f["psnr"], 2), number(f["psnr_foreground"], 2), number(f["ssim"], 4)]


def _planes(f: Mapping[str, Any]) -> list[str]:
    return [
        " / ".join(number(f["psnr_planes"][plane], 2) for plane in PLANES),
        " / ".join(number(f["ssim_planes"][plane], 3) for plane in PLANES),
    ]


def _calls(record: Record) -> str:
    f = record["figures"]
    return str(f["network_calls"] // max(f["samples"], 1))


def _seconds(record: Record) -> str:
    f = record["figures"]
    return number(f["seconds"] / max(f["samples"], 1), 1)
