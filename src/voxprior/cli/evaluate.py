"""``voxprior evaluate``: measure methods on scans whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from voxprior.cli.show import say

app = App(name="evaluate", help="Measure methods on scans whose truth is known.")


@app.command
def sr(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
) -> int:
    """Measure through-plane restoration; goes on where an earlier run ended.

    Parameters
    ----------
    data
        Folder with manifest.csv and its scans.
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    only
        Words that must all occur in SUBJECT KIND DIRECTION METHOD.
    """
    from voxprior.evaluate.sr.run import evaluate_sr

    made = evaluate_sr(data, out, page, only)
    say(f"{len(made)} new results; tables in {page}")
    return 0
