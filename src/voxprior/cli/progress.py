"""A progress bar with the time left, on stderr, where somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Show = Callable[[int, int], None]


def watch(quiet: bool) -> Callable[[str], AbstractContextManager[Show | None]]:
    """For a title, a context that gives a (done, total) callback; without a terminal, or if ``quiet``, nothing."""
    if quiet or not sys.stderr.isatty():
        return lambda title: nullcontext()
    return _bar


@contextmanager
def _bar(title: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(escape(title), total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
