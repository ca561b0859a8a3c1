"""What was understood of a scan, in sentences: millimetres, patient directions, a drawing, and what looks wrong."""

from __future__ import annotations

from typing import Any

from voxprior.jobs.needs import ASSUMED, network_option
from voxprior.volume import SliceGeometry

TOWARDS = {"L": "left", "R": "right", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
FROM = {"options": "", "header": " (as the header says)", "assumed": " (assumed: the image does not say)"}
STRAIGHT_DEGREES = 0.1
DRAWN_SLICES = 4
DRAWN_COLUMNS = 64


def describe(found: dict[str, Any]) -> list[str]:
    """Lines about a scan from its :func:`~voxprior.jobs.findings.findings`.

    A scan without a clear slice axis is described as far as it goes, and a line says what is missing.
    """
    lines = [*_axes(found), *_values(found)]
    if found["hindrance"] is not None:
        lines.append(f"cannot be restored as it is: {found['hindrance']}")
    if found["slices"] is not None:
        lines += _slices(found)
        lines += ["", *drawing(_geometry(found["slices"])), ""]
        lines += _needs(found["needs"], found["machine"])
    return lines + [f"warning: {text}" for text in found["warnings"]]


def _axes(found: dict[str, Any]) -> list[str]:
    shown = [
        f"axis {a['name']}: {a['count']} x {a['spacing']:.4g} mm = {a['length']:.4g} mm, "
        f"towards {TOWARDS[a['towards']]}"
        for a in found["axes"]
    ]
    angle = found["oblique_degrees"]
    along = "along the patient axes" if angle < STRAIGHT_DEGREES else f"oblique by {angle:.1f} degrees"
    field = " x ".join(f"{length:.4g}" for length in found["field_of_view"])
    return [*shown, f"field of view: {field} mm", f"orientation: {along}{_forms(found['forms'])}"]


def _forms(forms: dict[str, Any] | None) -> str:
    if forms is None:
        return ""
    if forms["difference"] is not None:
        apart = forms["difference"]
        return f"; qform and sform within {apart['mm']:.2g} mm and {apart['degrees']:.2g} degrees"
    have = [name for name in ("qform", "sform") if forms[f"{name}_code"] > 0]
    return f"; from the {have[-1]}" if have else "; the header does not say where the patient lies"


def _values(found: dict[str, Any]) -> list[str]:
    i, noise = found["intensity"], found["noise"]
    measured = [
        "not measurable in the air" if noise["air"] is None else f"std {noise['air']:.3g} in the air",
        *([] if noise["detail"] is None else [f"std {noise['detail']:.3g} in the finest detail"]),
    ]
    return [
        f"intensity: {i['lowest']:.4g} to {i['highest']:.4g}, median {i['median']:.4g}, "
        f"98 % within {i['percentile_1']:.4g} to {i['percentile_99']:.4g}",
        f"noise: {', '.join(measured)}",
    ]


def _slices(found: dict[str, Any]) -> list[str]:
    s, grid = found["slices"], found["grid"]
    profile = s["profile"] if isinstance(s["profile"], str) else f"{len(s['profile'])} samples"
    gap = s["gap"]
    between = "no gap" if abs(gap) < 1e-6 else f"gap {gap:.4g} mm" if gap > 0 else f"overlap {-gap:.4g} mm"
    return [
        f"slices: {s['count']} along {'ijk'[s['axis']]}, centres {s['spacing']:.4g} mm apart, {s['thickness']:.4g} mm "
        f"thick, {between}{FROM[s['thickness_from']]}, profile {profile}",
        f"restored: {grid['count']} x {grid['spacing']:.4g} mm, factor {grid['factor']:.3g}, "
        f"{grid['voxels'] / 1e6:.3g} million voxels",
    ]


def _needs(needs: list[dict[str, Any]], machine: dict[str, Any]) -> list[str]:
    there = machine["memory_available"]
    free = "" if there is None else f", {there / 2**20:.0f} MB of memory free"
    threads = f", {machine['threads']} threads" if machine["device"] == "cpu" else ""
    speed = machine["multiply_adds_a_second"] / 1e9
    place = f"{machine['device']}{threads}, {speed:.0f} billion multiply-adds a second{free}"
    lines = [f"needs on this machine ({place}), beside the files of the program:"]
    told = set()
    for need in needs:
        if need["job"] not in told and ASSUMED[need["job"]]:
            lines.append(f"  {need['job']}, {ASSUMED[need['job']]}:")
        told.add(need["job"])
        way = f"{need['job']} --method {need['method']}" + ("" if need["mode"] is None else f" --mode {need['mode']}")
        way += "" if need["network"] is None else f" --{network_option(need['method'])} {need['network']}"
        lines.append(f"  {way:<54} {need['memory'] / 2**20:>7.0f} MB {_time(need['seconds']):>8}")
    return lines


def _time(seconds: float) -> str:
    """In a unit that leaves a number people can picture."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"


def _geometry(s: dict[str, Any]) -> SliceGeometry:
    profile = s["profile"] if isinstance(s["profile"], str) else tuple(s["profile"])
    return SliceGeometry(
        s["axis"], s["count"], s["spacing"], s["thickness"], s["fine_count"], s["fine_spacing"], profile
    )


def drawing(g: SliceGeometry) -> list[str]:
    """The first slices to scale, the fine voxels below them, and a ruler in mm from the first slice's edge."""
    count = min(g.count, DRAWN_SLICES)
    length = (count - 1) * g.spacing + g.thickness
    scale = DRAWN_COLUMNS / length
    rows = [[" "] * DRAWN_COLUMNS for _ in range(2 if g.gap < -1e-6 else 1)]
    for k in range(count):
        first = round(k * g.spacing * scale)
        last = max(first + 1, round((k * g.spacing + g.thickness) * scale) - 1)
        row = rows[k % len(rows)]
        row[first:last] = "#" * (min(last, DRAWN_COLUMNS) - first)
    step = g.fine_spacing * scale
    fine = [" "] * DRAWN_COLUMNS
    for j in range(int(DRAWN_COLUMNS / step) + 1):
        fine[min(DRAWN_COLUMNS - 1, round(j * step))] = "|"
    marks = sorted({0.0, g.thickness, g.spacing, length})
    ruler = ""
    for mark in marks:
        text = f"{mark:.3g}"
        place = min(round(mark * scale), DRAWN_COLUMNS)
        if place >= len(ruler) + 1 or not ruler:
            ruler = ruler.ljust(place) + text
    more = "" if g.count == count else f"  ... {g.count} slices"
    names = ["slices  ", "        "]
    drawn = [names[i] + "".join(row) + (more if i == 0 else "") for i, row in enumerate(rows)]
    return [*drawn, "voxels  " + "".join(fine), "mm      " + ruler]
