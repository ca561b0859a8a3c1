"""A page about one or more restorations that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined


class Entry(NamedTuple):
    """One restoration: the name of its output, the values of its sidecar, and its preview as PNG."""

    name: str
    values: Mapping[str, Any]
    picture: bytes


TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Voxprior report</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body{background:#101114;color:#e8e8ea;font:15px/1.5 system-ui,sans-serif}
body{margin:2rem auto;max-width:80rem;padding:0 1rem}
h1{font-weight:500} h2{font-weight:500;margin-top:3rem;overflow-wrap:anywhere}
h3{font-weight:500;color:#9a9ca3}
img{max-width:100%;display:block;border-radius:4px} table{border-collapse:collapse;margin:.5rem 0}
td,th{padding:.15rem .9rem .15rem 0;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{color:#9a9ca3;font-weight:400}
.notice{border-left:3px solid #e0a030;padding:.4rem .8rem;background:#1b1a16} .warning{color:#f0b860}
</style></head><body>
<h1>Voxprior report</h1>
<p class="notice">{{ entries[0].values.notice }}</p>
{% for entry in entries %}{% set v = entry.values %}
<section><h2>{{ entry.name }}</h2>
<img alt="preview: what was measured, what was restored, how sure"
 src="data:image/png;base64,{{ entry.picture | base64 }}">
{% for warning in v.warnings %}<p class="warning">Warning: {{ warning }}</p>{% endfor %}
<h3>Fit to the measurement</h3>
<table>{{ row("residual |Ax - y| / |y|", v.residual | short) }}
{{ row("worst slice", v.certificate.residual_per_slice | max | short) }}
{{ row("noise", v.certificate.noise | short ~ " (" ~ v.certificate.noise_source ~ ")") }}
{{ row("output sha256", v.certificate.output_sha256) }}</table>
{% if v.comparison %}<h3>Against the truth</h3><p>{{ v.comparison.protocol }}</p>
{% for name, m in v.comparison.methods.items() %}{% if loop.first %}<table><tr><th>method</th>
{% for key in m %}<th>{{ figures[key] }}</th>{% endfor %}</tr>{% endif %}
<tr><td>{{ name }}</td>{% for value in m.values() %}<td>{{ value | short }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
<h3>{{ measured[v.job] | default("Slices") }}</h3>
<table>{% for k, x in v.certificate.operator.items() %}{{ row(k, x | short) }}{% endfor %}</table>
<h3>Settings</h3><table>{% for k, x in v.settings.items() if x is not none %}{{ row(k, x | short) }}{% endfor %}</table>
<h3>Run</h3><table>{{ row("seconds", v.seconds) }}{{ row("network calls", v.network_calls) }}
{% if v.peak_memory_bytes %}{{ row("peak memory, MB", (v.peak_memory_bytes / 1e6) | int) }}{% endif %}
{% if v.weights %}{{ row("weights", v.weights.name ~ ", sha256 " ~ v.weights.sha256) }}{% endif %}
{% for k, x in v.versions.items() %}{{ row(k, x) }}{% endfor %}</table></section>
{% endfor %}</body></html>
"""

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

_ROW = "{% macro row(name, value) %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>{% endmacro %}"


def page(entries: Sequence[Entry]) -> str:
    """The page of ``entries`` (at least one); every text is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["short"] = _short
    environment.filters["base64"] = _base64
    complete = [_complete(entry) for entry in entries]
    return environment.from_string(_ROW + TEMPLATE).render(entries=complete, figures=FIGURES, measured=MEASURED)


def _complete(entry: Entry) -> Entry:
    return entry._replace(values={"comparison": None, "job": "sr", **entry.values})


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        whole = all(isinstance(number, int) for number in value)
        return " x ".join(map(str, value)) if whole else f"{len(value)} samples"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "not known" if value is None else str(value)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
