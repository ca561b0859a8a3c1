"""What a notebook shows of a result: its picture, its fit, and what it is not."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from html import escape
from typing import Any


class Shown:
    """Shows itself in a notebook: ``picture`` makes the preview (a PNG), ``sidecar`` has the figures below it."""

    sidecar: Mapping[str, Any]
    picture: Callable[[], bytes]

    def _repr_png_(self) -> bytes:
        return self.picture()

    def _repr_html_(self) -> str:
        return card(self.picture(), self.sidecar)

    def __repr__(self) -> str:
        values = self.sidecar
        return (
            f"{type(self).__name__}(job={values['job']}, method={values['settings']['method']}, "
            f"residual={_short(values['residual'])}, seconds={values['seconds']:g})"
        )


def card(picture: bytes, values: Mapping[str, Any]) -> str:
    """HTML of a result: ``picture`` (a PNG) and the main values of its sidecar; every text is escaped."""
    weights = values["weights"]
    rows = {
        "method": values["settings"]["method"],
        "residual |Ax - y| / |y|": _short(values["residual"]),
        "time": f"{values['seconds']:.1f} s, {values['network_calls']} network calls",
        **({} if weights is None else {"weights": weights["name"]}),
        **{f"warning {number}": text for number, text in enumerate(values["warnings"], 1)},
    }
    lines = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(str(text))}</td></tr>"
        for name, text in rows.items()
    )
    image = base64.b64encode(picture).decode("ascii")
    return (
        f"<div><img alt='measured, restored, and how sure' style='max-width:100%' src='data:image/png;base64,{image}'>"
        f"<table>{lines}</table><p><em>{escape(values['notice'])}</em></p></div>"
    )


def _short(value: float | None) -> str:
    return "not known" if value is None else f"{value:.1e}"
