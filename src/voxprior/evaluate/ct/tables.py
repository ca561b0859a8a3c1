"""The part of the page about X-ray views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from voxprior.evaluate.calibration import LEVELS
from voxprior.evaluate.ct.contenders import FOUR, MEAN, SAMPLE, TPDM, TV
from voxprior.evaluate.ct.tuning import best
from voxprior.evaluate.markdown import covered, number, provenance, section, table, unique
from voxprior.evaluate.page import peers as peers_of
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.statistics import Record, latest, paired
from voxprior.evaluate.store import Store

BASELINES = ("fbp", "cgls", TV)
OURS = (MEAN, SAMPLE, FOUR)
PLANES = ("axial", "coronal", "sagittal")
HEADER = (
    *("method", "PSNR, dB", "in the body", "HU error in the body", "SSIM"),
    *("PSNR axial / coronal / sagittal", "SSIM axial / coronal / sagittal", "residual", "misfit", "calls", "seconds"),
)

_HEAD = """## X-ray views

`voxprior evaluate ct --data DIR`. HU above vacuum; the range of PSNR and SSIM is the 99.9th percentile of the truth.
SSIM is 3-D with an 11-voxel Gaussian window (sigma 1.5). HU error: mean absolute, in the body (above 10 % of the
range). Residual: |A x - y| / |y| of line integrals; misfit: A x - y in units of the noise of each ray, about 1 for the
truth. PSNR and SSIM of a plane are means over its slices.
"""
_CHOSEN = "Chosen by PSNR on the top fifth of the training volume, on which no network was trained."


def part(folder: Path) -> str:
    """The part of the page, from ``folder``/ct.jsonl and what lies beside it; empty without results."""
    found = results(folder, "ct").records()
    tuning = Store(folder / "ct-tuning.jsonl").records()
    return render(found, peers_of(folder, "ct").records(), remarks_of(folder, "ct"), tuning) if found else ""


def render(
    records: Iterable[Record], peers: Iterable[Record] = (), remarks: str = "", tuning: Iterable[Record] = ()
) -> str:
    """The part as Markdown. ``tuning``: the search over the settings of the baselines."""
    own = latest(records)
    both = [*own, *latest(peers)]
    parts = [
        f"{_HEAD}\n{provenance(own)}\n",
        section("Gain over TV, dB of PSNR (in the body)", _gains(both)),
        *(_contest([r for r in both if r["name"] == name]) for name in _names(both)),
        section("Calibration in the body", _calibration(both)),
        section("Settings of the baselines", _settings(list(tuning))),
        remarks.strip() + "\n" if remarks.strip() else "",
    ]
    return "\n".join(part for part in parts if part)


def labels_of(records: Sequence[Record]) -> list[str]:
    """Labels that ``records`` have: baselines, other tools, TPDM, ours."""
    have = unique(r["label"] for r in records)
    others = [label for label in have if label not in (*BASELINES, TPDM, *OURS)]
    return [label for label in (*BASELINES, *others, TPDM, *OURS) if label in have]


def _names(records: Sequence[Record]) -> list[str]:
    """Cases, views by views."""
    kinds = unique(r["kind"] for r in records)
    return unique(r["name"] for r in sorted(records, key=lambda r: kinds.index(r["kind"])))


def _contest(records: Sequence[Record]) -> str:
    first = records[0]
    rows = []
    for label in labels_of(records):
        r = next(r for r in records if r["label"] == label)
        f = r["figures"]
        rows.append([label, *_row(f), str(f.get("network_calls") or "-"), number(f["seconds"], 1)])
        if f.get("samples"):
            single = [f["psnr_one_sample"], f["psnr_foreground_one_sample"], f["hu_error_one_sample"]]
            shown = [number(single[0], 2), number(single[1], 2), number(single[2], 1)]
            calls = str(f["network_calls"] // f["samples"])
            rows.append(["of these one sample", *shown, *["-"] * 5, calls, number(f["seconds"] / f["samples"], 1)])
    case, shape = first["case"], " x ".join(map(str, first["figures"]["shape"]))
    title = f"{first['kind'][0].upper()}{first['kind'][1:]}: {case['subject']} ({case['part']}), {shape}"
    return section(title, table(HEADER, rows))


def _row(f: Record) -> list[str]:
    return [
        number(f["psnr"], 2),
        number(f["psnr_foreground"], 2),
        number(f["hu_error"], 1),
        number(f["ssim"], 4),
        " / ".join(number(f["psnr_planes"][plane], 2) for plane in PLANES),
        " / ".join(number(f["ssim_planes"][plane], 3) for plane in PLANES),
        number(f["residual"], None),
        number(f.get("misfit"), 2),
    ]


def _gains(records: Sequence[Record]) -> str:
    """What each has over TV in the same case, a row a case."""
    whole, body = paired(records, "psnr"), paired(records, "psnr_foreground")
    labels = [label for label in labels_of(records) if label != TV]
    rows = []
    for name in _names(records):
        if TV not in whole[name]:
            continue
        cells = [
            f"{whole[name][label] - whole[name][TV]:+.2f} ({body[name][label] - body[name][TV]:+.2f})"
            if label in whole[name]
            else "-"
            for label in labels
        ]
        case = next(r for r in records if r["name"] == name)
        rows.append([case["kind"], f"{case['case']['subject']} ({case['case']['part']})", *cells])
    return table(["views", "volume", *labels], rows)


def _calibration(records: Sequence[Record]) -> str:
    stated = [r for r in records if r["figures"].get("calibration")]
    rows = []
    for kind, label in unique((r["kind"], r["label"]) for r in stated):
        mine = [r for r in stated if (r["kind"], r["label"]) == (kind, label)]
        cells = [covered(mine, column) for column in (*(f"{level:g}" for level in LEVELS), "ratio")]
        rows.append([kind, label, str(len(mine)), *cells])
    return table(
        ["views", "method", "volumes", *(f"covered by {level:.0%}" for level in LEVELS), "rms std / rms error"], rows
    )


def _settings(tuning: Sequence[Record]) -> str:
    chosen = best(tuning)
    methods = unique(name for values in chosen.values() for name in values)
    rows = [[setting, *(str(values.get(name, "-")) for name in methods)] for setting, values in chosen.items()]
    body = table(["views", *methods], rows)
    return body and f"{_CHOSEN}\n\n{body}"
