"""The page of a cohort: every scan in a line, what failed first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from voxprior.report.html import render

COLUMNS = {"residual": "residual", "seconds": "seconds", "network_calls": "network calls", "warnings": "warnings"}
"""Keys of a sidecar and their headings."""


class Member(NamedTuple):
    """A scan of a cohort: its name, the values of its sidecar or why there are none, and its own page if it has one."""

    name: str
    values: Mapping[str, Any] | None = None
    error: str | None = None
    link: str | None = None

    @property
    def figures(self) -> list[Any]:
        """The cells of its line."""
        if self.values is None:
            return []
        shown = dict(self.values)
        shown["warnings"] = len(shown.get("warnings", ()))
        return [shown.get(key) for key in COLUMNS]


def group_page(title: str, members: Sequence[Member]) -> str:
    """The page of ``members``, failed ones first, with how residual and time are spread; every text is escaped."""
    restored = [member.values for member in members if member.values is not None]
    seconds = [float(values["seconds"]) for values in restored]
    tiles = {"scans restored": str(len(restored)), "scans failed": str(len(members) - len(restored))}
    if seconds:
        tiles["seconds a scan (median)"] = f"{median(seconds):.3g}"
    residuals = [float(values["residual"]) for values in restored if values.get("residual") is not None]
    if residuals:
        tiles["largest residual"] = f"{max(residuals):.2g}"
    spread = {}
    if len(restored) > 1:
        from voxprior.report.figures import dots

        spread["Seconds of every restoration, in the order of the table."] = dots(seconds, "scan", "seconds")
        if residuals:
            spread["Residual of every restoration."] = dots(residuals, "scan", "residual")
    ordered = sorted(members, key=lambda member: member.error is None)
    return render("group.html.j2", title, tiles=tiles, spread=spread, members=ordered, columns=list(COLUMNS.values()))
