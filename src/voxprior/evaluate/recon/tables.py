"""The part of the page about k-space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from pathlib import Path

from voxprior.evaluate.calibration import LEVELS
from voxprior.evaluate.markdown import covered, listed, number, provenance, section, table, unique
from voxprior.evaluate.page import peers as peers_of
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.recon.contenders import (
    FEW,
    FOUR,
    FULL,
    LONG,
    MANY,
    MEAN,
    PUBLISHED,
    SHORT,
    TPDM,
    TPDM_REAL,
    WAVELET,
    published,
)
from voxprior.evaluate.recon.protocols import GROUPS, OTHER, PHASE, REAL, SIMULATED, STACK, TIMED, UNDERSAMPLED
from voxprior.evaluate.statistics import BOOTSTRAP_SUBJECTS, Record, latest, mean_over_subjects, paired

TV_PEER = "BART pics, TV"
OURS = (MEAN, LONG, FEW, MANY, FOUR)
DIFFUSION = (*(published(name, SHORT) for name in PUBLISHED), published("hfs-sde", FULL), TPDM, TPDM_REAL)
BASELINES = ("zero-filled", "sense", "tv")
FAMILIES = {
    "uniform": "uniform lines",
    "poisson": "Poisson discs",
    "random-uniform": "random lines",
    "radial": "spokes",
}
FIGURES = (
    ("psnr", 2), ("psnr_object", 2), ("ssim", 4), ("ssim_object", 4), ("nmse", 4), ("nmse_object", 4), ("residual", 3),
)  # fmt: skip
HEADER = (
    *("method", "PSNR, dB", "in the object", "SSIM", "in the object", "NMSE", "in the object"),
    *("residual", "calls", "seconds"),
)

_HEAD = """## k-space

`voxprior evaluate recon --data DIR`. PSNR, SSIM and NMSE are those of fastMRI on magnitudes: range = maximum of the
truth, 7 x 7 windows. R is the acceleration that names a mask; the true one, matrix over samples, stands in brackets:
the central lines (ACS) make it smaller. The residual is |A x - y| / |y|: data with noise are not to be fitted to zero.
Of fewer than five subjects the values are listed. Seconds are of the method alone; the sensitivities, which all methods
share, have a column in the table of times.
"""


def part(folder: Path) -> str:
    """The part of the page, from ``folder``/recon.jsonl and what lies beside it; empty without results."""
    found = results(folder, "recon").records()
    return render(found, peers_of(folder, "recon").records(), remarks_of(folder, "recon")) if found else ""


def render(records: Iterable[Record], peers: Iterable[Record] = (), remarks: str = "") -> str:
    """The part as Markdown. ``peers``: records of other tools; ``remarks``: what somebody saw in the pictures."""
    own, others = latest(records), latest(peers)
    both = [*own, *others]
    known = [r for r in both if r["case"]["group"] in GROUPS]
    parts = [
        f"{_HEAD}\n{provenance(own)}\n",
        section(f"Gain over {WAVELET} at R = 8, dB of PSNR (in the object)", _gains(known)),
        section(f"Gain over {TV_PEER} by one coil, dB of PSNR (in the object)", _one_coil(known)),
        *(text for group in GROUPS if group != TIMED for text in _group(known, group)),
        section("Time: " + TIMED, _times([r for r in known if r["case"]["group"] == TIMED])),
        section("Calibration in the object", _calibration(known)),
        section("As the evaluation of HFS-SDE has it", _source(known)),
        section("Undersampled by the scanner: no truth", _undersampled(both)),
        remarks.strip() + "\n" if remarks.strip() else "",
    ]
    return "\n".join(part for part in parts if part)


def labels_of(records: Sequence[Record]) -> list[str]:
    """Labels that ``records`` have: baselines, other tools, published methods, ours."""
    have = unique(r["label"] for r in records)
    others = [label for label in have if label not in (*BASELINES, *DIFFUSION, *OURS)]
    return [label for label in (*BASELINES, *others, *DIFFUSION, *OURS) if label in have]


def _subjects(records: Sequence[Record]) -> list[str]:
    return unique(r["case"]["subject"] for r in records)


def _group(records: Sequence[Record], group: str) -> list[str]:
    """A section for each mask of ``group``; of another anatomy, for each mask and subject."""
    mine = [r for r in records if r["case"]["group"] == group]
    sections = []
    for subject in _subjects(mine) if group == OTHER else [None]:
        chosen = [r for r in mine if subject in (None, r["case"]["subject"])]
        for kind in unique(r["kind"] for r in chosen):
            here = [r for r in chosen if r["kind"] == kind]
            sections.append(section(heading(here), _contest(here)))
    return sections


def heading(records: Sequence[Record]) -> str:
    """Group, subjects, mask, nominal acceleration and, in brackets, the true ones."""
    case = records[0]["case"]
    true = sorted(r["figures"]["acceleration"] for r in records)
    span = f"{true[0]:.1f}" if true[-1] - true[0] < 0.05 else f"{true[0]:.1f} to {true[-1]:.1f}"
    names = _subjects(records)
    who = case["group"]
    if case["group"] == SIMULATED:
        who += f", {len(names)} subjects"
    elif case["group"] == PHASE:
        who += f", {len(unique(r['name'] for r in records))} slices"
    elif case["group"] == STACK:
        who += f", {len(names)} subjects, {case['slices']} slices of each"
    elif case["group"] == OTHER:
        who += f", {names[0]}, {case['coils']} coils, {' x '.join(map(str, records[0]['figures']['shape']))}"
    family = FAMILIES.get(case["mask"], case["mask"])
    return f"{who[0].upper()}{who[1:]}: {family}, R = {case['acceleration']:g} (true: {span}), ACS {case['acs']}"


def _contest(records: Sequence[Record]) -> str:
    rows = []
    for label in labels_of(records):
        mine = [r for r in records if r["label"] == label]
        cells = [_cell(mine, figure, digits, _plain) for figure, digits in FIGURES]
        calls = max(int(r["figures"].get("network_calls") or 0) for r in mine)
        rows.append([label, *cells, str(calls) if calls else "-", _cell(mine, "seconds", 2, _plain)])
    return table(HEADER, rows)


def _plain(value: float, digits: int) -> str:
    return number(value, digits)


def _cell(records: Sequence[Record], figure: str, digits: int, show: Callable[[float, int], str]) -> str:
    """Mean over subjects, with its interval in a large enough group; a few are listed by name. Seconds have none."""
    found = [(r["case"]["subject"], r["figures"][figure]) for r in records if r["figures"].get(figure) is not None]
    if not found:
        return "-"
    mean = mean_over_subjects(found)
    assert mean is not None
    if mean.subjects < BOOTSTRAP_SUBJECTS:
        values = [value for _, value in sorted(found, key=itemgetter(0))]
        return show(values[0], digits) if len(set(values)) == 1 else " / ".join(show(v, digits) for v in values)
    text = show(mean.value, digits)
    if figure != "seconds" and mean.low is not None and mean.high is not None:
        text += f" [{show(mean.low, digits)}, {show(mean.high, digits)}]"
    return text


def _gains(records: Sequence[Record]) -> str:
    """What each diffusion method has over L1-wavelet in the same case, a group and mask family."""
    eight = [r for r in records if r["case"]["acceleration"] == 8]
    columns = [
        (group, family)
        for group in (SIMULATED, REAL)
        for family in FAMILIES
        if any(_in(r, group, family) and r["label"] == WAVELET for r in eight)
    ]
    rows = []
    for label in (*DIFFUSION, *OURS):
        cells = [_gain([r for r in eight if _in(r, *column)], label) for column in columns]
        if any(cell != "-" for cell in cells):
            rows.append([label, *cells])
    return table(["method", *(f"{group}: {FAMILIES[family]}" for group, family in columns)], rows)


def _in(record: Record, group: str, family: str) -> bool:
    return bool(record["case"]["group"] == group and record["case"]["mask"] == family)


def _one_coil(records: Sequence[Record]) -> str:
    """What each has over TV in the same case, by Poisson discs and one coil."""
    columns = [(group, kind) for group in (STACK, PHASE) for kind in unique(r["kind"] for r in records)]
    discs = [r for r in records if r["case"]["mask"] == "poisson"]
    mine = {column: [r for r in discs if (r["case"]["group"], r["kind"]) == column] for column in columns}
    mine = {column: found for column, found in mine.items() if any(r["label"] == TV_PEER for r in found)}
    rows = []
    for label in labels_of([r for found in mine.values() for r in found]):
        cells = [_gain(found, label, TV_PEER) for found in mine.values()]
        if label != TV_PEER:
            rows.append([label, *cells])
    return table(["method", *(f"{group}: {kind}" for group, kind in mine)], rows)


def _gain(records: Sequence[Record], label: str, rival: str = WAVELET) -> str:
    cells = []
    subject = {r["name"]: r["case"]["subject"] for r in records}
    for figure in ("psnr", "psnr_object"):
        pairs = paired(records, figure)
        both = {name: values for name, values in pairs.items() if {label, rival} <= values.keys()}
        if not both:
            return "-"
        cells.append(listed([(subject[name], v[label] - v[rival]) for name, v in both.items()], sign="+"))
    return f"{cells[0]} ({cells[1]})"


def _times(records: Sequence[Record]) -> str:
    rows = []
    for label in labels_of(records):
        for f in (r["figures"] for r in records if r["label"] == label):
            memory = f.get("extra_memory_bytes")
            rows.append(
                [
                    label,
                    str(f.get("runs", 1)),
                    f"{f['seconds']:.2f}",
                    f"{f['seconds_maps']:.2f}",
                    f"{f['seconds'] + f['seconds_maps']:.2f}",
                    str(f.get("network_calls") or "-"),
                    "-" if memory is None else f"{memory / 2**20:.0f}",
                    number(f["psnr"], 2),
                ]
            )
    times = ("seconds", "of the sensitivities", "together")
    return table(["method", "runs", *times, "calls", "extra memory, MiB", "PSNR, dB"], rows)


def _calibration(records: Sequence[Record]) -> str:
    stated = [r for r in records if r["figures"].get("calibration") and r["case"]["group"] in (SIMULATED, REAL, PHASE)]
    rows = []
    for group in (SIMULATED, REAL, PHASE):
        for label in labels_of(stated):
            mine = [r for r in stated if r["case"]["group"] == group and r["label"] == label]
            if mine:
                masks = str(len(unique(r["kind"] for r in mine)))
                rows.append([group, label, masks, *(covered(mine, column) for column in (*map(str, LEVELS), "ratio"))])
    nominal = [f"covered by {level:.0%}" for level in LEVELS]
    return table(["group", "method", "masks", *nominal, "rms std / rms error"], rows)


def _source(records: Sequence[Record]) -> str:
    """PSNR, SSIM and NMSE by the definitions of HFS-SDE, at R = 8 by lines."""
    rows = []
    for group in (SIMULATED, REAL):
        mine = [r for r in records if _in(r, group, "uniform") and r["case"]["acceleration"] == 8]
        for label in labels_of(mine):
            found = [r for r in mine if r["label"] == label and r["figures"].get("source")]
            figures = (("psnr", 2), ("ssim", 4), ("nmse", 4))
            rows.append([group, label, *(_source_mean(found, figure, digits) for figure, digits in figures)])
    body = table(["group, R = 8 by lines", "method", "PSNR, dB", "SSIM", "NMSE after each has its own maximum"], rows)
    return body and "Ranges from the pair of images; its NMSE does not see a gain error.\n\n" + body


def _source_mean(records: Sequence[Record], figure: str, digits: int) -> str:
    pairs = [(r["case"]["subject"], r["figures"]["source"][figure]) for r in records]
    return listed([(s, v) for s, v in pairs if v is not None], digits)


def _undersampled(records: Sequence[Record]) -> str:
    mine = [r for r in records if r["case"]["group"] == UNDERSAMPLED]
    rows = []
    for label in labels_of(mine):
        for r in (r for r in mine if r["label"] == label):
            f = r["figures"]
            spread = f["std"] / f["mean"] if f.get("std") is not None and f.get("mean") else None
            rows.append(
                [
                    f"{r['case']['subject']} (true R: {f['acceleration']:.1f})",
                    label,
                    number(f["residual"], 3),
                    "-" if spread is None else f"{spread:.1%}",
                    str(f.get("network_calls") or "-"),
                    f"{f['seconds']:.2f}",
                ]
            )
    return table(["data", "method", "residual", "mean std / mean magnitude", "calls", "seconds"], rows)
