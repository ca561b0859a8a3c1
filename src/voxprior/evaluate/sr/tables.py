"""The part of the page about thick slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from voxprior.evaluate.calibration import LEVELS
from voxprior.evaluate.markdown import interval, listed, number, provenance, section, table, unique
from voxprior.evaluate.page import peers as peers_of
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.sr.contenders import CUBIC, MEAN, SAMPLE
from voxprior.evaluate.statistics import Record, latest, mean_over_subjects, paired

LABELS = ("nearest", "linear", CUBIC, "cubic-projected", MEAN, SAMPLE)
GROUPS = ("T1w, scanners of the training data", "T1w, other scanners", "other contrasts")

_HEAD = """## Thick slices

`voxprior evaluate sr --data DIR`. PSNR and SSIM use the 99.9th percentile of the truth as range; the SSIM is 3-D with
an 11-voxel Gaussian window (sigma 1.5), whole windows only. The directions of one subject are averaged first.
"""


def part(folder: Path) -> str:
    """The part of the page, from ``folder``/sr.jsonl and what lies beside it; empty without results."""
    found = results(folder, "sr").records()
    return render(found, peers_of(folder, "sr").records(), remarks_of(folder, "sr")) if found else ""


def render(records: Iterable[Record], peers: Iterable[Record] = (), remarks: str = "") -> str:
    """The part as Markdown. ``peers``: records of other tools; ``remarks``: what somebody saw in the
    pictures.
    """
    found = latest(records)
    whole = [r for r in found if not r["case"]["crop"]]
    blocks = [r for r in found if r["case"]["crop"]]
    parts = [
        f"{_HEAD}\n{provenance(found)}\n",
        section("Whole volumes: PSNR, dB", _means(whole, "psnr", 2)),
        section("Foreground: PSNR, dB", _means(whole, "psnr_foreground", 2)),
        section("Whole volumes: SSIM", _means(whole, "ssim", 4)),
        section("Distance from the slices: |A x - y| / |y|", _means(whole, "residual", None)),
        section("Gain of the mean mode over cubic, dB", _gains(whole)),
        section("Worst case", _worst(whole)),
        section("Posterior samples, on blocks", _blocks(blocks)),
        section("Calibration in the foreground", _calibration(found)),
        section("Time and memory", _speed(whole)),
        section("Beside other tools", _peers(whole, latest(peers))),
        section("Every case: PSNR, dB (foreground in brackets)", _cases(whole)),
        remarks.strip() + "\n" if remarks.strip() else "",
    ]
    return "\n".join(part for part in parts if part)


def _present(records: Sequence[Record]) -> list[str]:
    have = {r["label"] for r in records}
    return [label for label in LABELS if label in have]


def _subjects(records: Sequence[Record], kind: str, label: str, figure: str) -> list[tuple[str, float]]:
    return [
        (r["case"]["subject"], r["figures"][figure])
        for r in records
        if r["kind"] == kind and r["label"] == label and r["figures"].get(figure) is not None
    ]


def _means(records: Sequence[Record], figure: str, digits: int | None) -> str:
    labels = _present(records)
    rows = []
    for kind in sorted(unique(r["kind"] for r in records)):
        found = [_subjects(records, kind, label, figure) for label in labels]
        count = max((len({subject for subject, _ in pairs}) for pairs in found), default=0)
        rows.append([kind, str(count), *(_mean(pairs, digits) for pairs in found)])
    return table(["case", "subjects", *labels], rows)


def _mean(pairs: Sequence[tuple[str, float]], digits: int | None) -> str:
    """With its interval; what spans powers of ten stands without."""
    if digits is not None:
        return listed(pairs, digits)
    mean = mean_over_subjects(pairs)
    return number(mean.value if mean else None, digits)


def _gains(records: Sequence[Record]) -> str:
    rows = []
    for kind in sorted(unique(r["kind"] for r in records)):
        mine = [r for r in records if r["kind"] == kind]
        cells = [listed(_gained(mine, figure), sign="+") for figure in ("psnr", "psnr_foreground")]
        if cells[0] != "-":
            groups = [listed(_gained(mine, "psnr", group), sign="+") for group in GROUPS]
            rows.append([kind, *cells, *groups])
    return table(["case", "all, whole volume", "all, foreground", *GROUPS], rows)


def gain(records: Sequence[Record], figure: str) -> str:
    """Mean over subjects of what the mean mode has over cubic in the same case."""
    return interval(mean_over_subjects(_gained(records, figure)))


def _gained(records: Sequence[Record], figure: str, group: str | None = None) -> list[tuple[str, float]]:
    """What the mean mode has over cubic, case by case with its subject; of one group, or of all."""
    pairs = paired([r for r in records if group in (None, r["case"]["group"])], figure)
    subject = {r["name"]: r["case"]["subject"] for r in records}
    both = {name: values for name, values in pairs.items() if {MEAN, CUBIC} <= values.keys()}
    return [(subject[n], v[MEAN] - v[CUBIC]) for n, v in both.items()]


def _worst(records: Sequence[Record]) -> str:
    pairs = paired(records, "psnr")
    right = [r for r in records if r["label"] == MEAN and r["case"]["assumed"] == r["case"]["profile"]]
    gains = {r["name"]: pairs[r["name"]][MEAN] - pairs[r["name"]][CUBIC] for r in right if CUBIC in pairs[r["name"]]}
    if not gains:
        return ""
    name = min(gains, key=lambda n: gains[n])
    below = sum(gain < -0.05 for gain in gains.values())
    return (
        f"Of {len(gains)} whole-volume cases with the right profile, the least gain over cubic is "
        f"{gains[name]:+.2f} dB ({name}); {below} lie more than 0.05 dB below cubic."
    )


def _blocks(records: Sequence[Record]) -> str:
    rows = []
    for label in _present(records):
        mine = [r for r in records if r["label"] == label]
        shown = f"{label}, mean of {mine[0]['figures']['samples']}" if label == SAMPLE and _drawn(mine) else label
        rows.append([shown, *(_block_mean(mine, f) for f in ("psnr", "psnr_foreground")), _calls(mine)])
        if label == SAMPLE and _drawn(mine):
            single = [_block_mean(mine, f"{f}_one_sample") for f in ("psnr", "psnr_foreground")]
            rows.append([f"{label}, one sample", *single, str(_call_count(mine) // mine[0]["figures"]["samples"])])
    return table(["method", "PSNR, dB", "foreground PSNR, dB", "network calls"], rows)


def _drawn(records: Sequence[Record]) -> bool:
    return all(r["figures"].get("samples") for r in records)


def _block_mean(records: Sequence[Record], figure: str) -> str:
    pairs = [(r["case"]["subject"], r["figures"][figure]) for r in records if r["figures"].get(figure) is not None]
    return listed(pairs)


def _call_count(records: Sequence[Record]) -> int:
    return max(int(r["figures"]["network_calls"]) for r in records)


def _calls(records: Sequence[Record]) -> str:
    return str(_call_count(records))


def _calibration(records: Sequence[Record]) -> str:
    rows = []
    stated = [r for r in records if r["figures"].get("calibration")]
    for kind, label in sorted({(r["kind"], r["label"]) for r in stated}):
        mine = [(r["case"]["subject"], _flat(r)) for r in stated if (r["kind"], r["label"]) == (kind, label)]
        columns = (*(f"{level:g}" for level in LEVELS), "correlation", "ratio")
        rows.append([kind, label, *(_calibrated(mine, column) for column in columns)])
    nominal = [f"covered by {level:.0%}" for level in LEVELS]
    return table(["case", "method", *nominal, "correlation of std and error", "rms std / rms error"], rows)


def _flat(record: Record) -> dict[str, float | None]:
    """Coverage by its level, correlation and ratio in one mapping."""
    found = record["figures"]["calibration"]
    return {**found["coverage"], "correlation": found["correlation"], "ratio": found["ratio"]}


def _calibrated(figures: Sequence[tuple[str, dict[str, float | None]]], column: str) -> str:
    return listed([(subject, value) for subject, f in figures if (value := f.get(column)) is not None])


def _speed(records: Sequence[Record]) -> str:
    timed = [r for r in records if r["case"]["repeats"] > 1]
    yardstick = {r["name"]: r["figures"]["seconds"] for r in timed if r["label"] == CUBIC}
    rows = []
    for r in timed:
        f = r["figures"]
        share = (
            f["network_gflops"] / f["convolution_gflops"] if f["network_gflops"] and f["convolution_gflops"] else None
        )
        memory = f["peak_memory_bytes"]
        rows.append(
            [
                r["name"],
                r["label"],
                f"{f['voxels'] / 1e6:.1f}",
                str(f["runs"]),
                f"{f['seconds']:.2f}",
                f"{f['seconds'] / yardstick[r['name']]:.1f}" if r["name"] in yardstick else "-",
                "-" if memory is None else f"{memory / 2**30:.2f}",
                str(f["network_calls"]),
                number(f["convolution_gflops"], 0),
                "-" if share is None else f"{share:.0%}",
            ]
        )
    header = ["case", "method", "million voxels", "runs", "seconds", "times cubic", "peak GiB", "network calls"]
    return table([*header, "bare convolution, GFLOP/s", "share of it"], rows)


def _peers(records: Sequence[Record], peers: Sequence[Record]) -> str:
    names = {r["name"] for r in peers}
    beside = [r for r in records if r["name"] in names and r["label"] in (CUBIC, MEAN)]
    rows = [
        [
            r["name"],
            r["label"],
            *(number(r["figures"][f], 2) for f in ("psnr", "psnr_foreground")),
            number(r["figures"]["ssim"], 4),
            number(r["figures"]["residual"], None),
            number(r["figures"]["seconds"], 1),
        ]
        for r in sorted([*beside, *peers], key=lambda r: r["name"])
    ]
    return table(["case", "method", "PSNR, dB", "foreground PSNR, dB", "SSIM", "residual", "seconds"], rows)


def _cases(records: Sequence[Record]) -> str:
    labels = _present(records)
    pairs, inside = paired(records, "psnr"), paired(records, "psnr_foreground")
    rows = []
    for record in {r["name"]: r for r in records}.values():
        name, case = record["name"], record["case"]
        cells = [
            f"{pairs[name][label]:.2f} ({inside[name][label]:.2f})" if label in pairs[name] else "-" for label in labels
        ]
        gain = f"{pairs[name][MEAN] - pairs[name][CUBIC]:+.2f}" if {MEAN, CUBIC} <= pairs[name].keys() else "-"
        rows.append([case["subject"], case["modality"], record["kind"], case["direction"], *cells, gain])
    return table(["subject", "modality", "case", "direction", *labels, "gain over cubic"], rows)
