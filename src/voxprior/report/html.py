"""A page about one or more restorations that needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from voxprior import registry

if TYPE_CHECKING:
    from voxprior.report.scene import Scene

PAGES = Path(__file__).parent / "page"
"""Templates, style and script of the pages."""

TITLE = "Voxprior report"

FIGURES = {
    "psnr": "PSNR, dB",
    "psnr_foreground": "foreground PSNR, dB",
    "ssim": "SSIM",
    "nmse": "NMSE",
    "hu_error": "HU error in the body",
}
"""Headings of the comparison."""

MEASURED = {"recon": "K-space", "ct": "X-ray views"}
"""Headings of what was measured, a job; slices by default."""

class Entry(NamedTuple):
    """One restoration: the name of its output, the values of its sidecar, its preview as PNG, and what is shown."""

    name: str
    values: Mapping[str, Any]
    picture: bytes
    scene: Scene | None = None


class _Shown:
    """A scene as the template wants it: its pictures in base64, cut by cut."""

    def __init__(self, scene: Scene) -> None:
        self.layers, self.views, self.figures = scene.layers, scene.views, scene.figures
        images = [k for k, layer in enumerate(scene.layers) if layer.colours == "grey"]
        self.shown_right = images[-1]  # the result
        cuts = [[[_base64(png) for png in cut] for cut in view.cuts] for view in scene.views]
        # Base64 holds no character that could end a script element.
        self.encoded = Markup(json.dumps(cuts, separators=(",", ":")))


def page(entries: Sequence[Entry], failures: Mapping[str, str] | None = None) -> str:
    """The page of ``entries``; ``failures``: names of scans without a result, and why. Every text is escaped."""
    shown = [_complete(entry) for entry in entries]
    script = _text("viewer.js") if any(entry.scene is not None for entry in entries) else ""
    words = {"figures": FIGURES, "measured": MEASURED, "jobs": registry.JOBS, "card": _card}
    return render("case.html.j2", TITLE, script, entries=shown, failures=failures or {}, **words)


def failure_page(
    name: str, job: str, error: str, settings: Mapping[str, Any], versions: Mapping[str, str]
) -> str:
    """The page of a restoration that did not come to be: why, and what was asked for."""
    what = registry.JOBS.get(job, job)
    return render("failure.html.j2", TITLE, name=name, job=what, error=error, settings=settings, versions=versions)


def render(template: str, title: str, script: str = "", **values: Any) -> str:
    """A page of this folder's ``template`` under a policy that lets nothing in: its own script runs, by its digest."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"; script-src 'sha256-{digest}'" if script else ""
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'{allowed}"
    page = _environment().get_template(template)
    style = Markup(_text("style.css"))
    return page.render(title=title, policy=Markup(policy), style=style, script=Markup(script), **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(short=_short, base64=_base64, flat=_flat)
    return environment


@cache
def _text(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def _complete(entry: Entry) -> Entry:
    values = {"comparison": None, "job": "sr", "inputs": [], **entry.values}
    scene: Any = None if entry.scene is None else _Shown(entry.scene)
    return entry._replace(values=values, scene=scene)


def _card(weights: Mapping[str, str]) -> dict[str, Any]:
    """What the card of bundled weights says, in short; nothing for weights that are not those of the package."""
    path = registry.WEIGHTS / f"{weights['name']}.json"
    if weights["name"] not in registry.weight_names():
        return {}
    card = json.loads(path.read_bytes())
    if card.get("sha256") != weights["sha256"]:
        return {}
    found = {"licence": card.get("licence"), "intended use": card.get("intended_use"), "network": card.get("kind")}
    data = card.get("data", {})
    if "fit" in data:
        found["trained on"] = f"{len(data['fit'])} subjects ({data.get('licences', 'licences not stated')})"
    if "modalities" in data:
        found["contrasts"] = ", ".join(f"{name} {count}" for name, count in data["modalities"].items())
    trained = card.get("trained_range", {})
    for key, words in (("slice_distance_mm", "slice distances, mm"), ("voxel_mm", "voxels, mm")):
        if key in trained:
            found[words] = " to ".join(f"{v:g}" for v in trained[key])
    return {name: value for name, value in found.items() if value is not None}


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        if value and all(isinstance(number, int | float) for number in value) and len(value) <= 6:
            return " x ".join(f"{number:.4g}" for number in value)
        return " x ".join(map(str, value)) if all(isinstance(n, int) for n in value) else f"{len(value)} values"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "not known" if value is None else str(value)


def _flat(values: Any) -> list[float]:
    """Numbers, of a list of them or of a list of lists."""
    return [n for v in values for n in _flat(v)] if isinstance(values, list | tuple) else [float(values)]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
