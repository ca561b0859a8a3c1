"""Progress is shown where somebody looks, and nowhere else."""

from __future__ import annotations

import io
import sys

import pytest

from voxprior.cli.progress import watch


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("terminal", "quiet"), [(False, False), (True, True)])
def test_no_bar_in_a_log_file_or_when_quiet(monkeypatch, terminal: bool, quiet: bool) -> None:
    """Guards logs of batch systems, and -q."""
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with watch(quiet)("scan") as progress:
        assert progress is None
    assert stream.getvalue() == ""


def test_a_terminal_sees_the_title_as_it_is(monkeypatch) -> None:
    """Guards the bar on a terminal: it takes (done, total), and a file name in brackets is no markup."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with watch(False)("1/2 [red]x.nii") as progress:
        assert progress is not None
        progress(3, 10)
        progress(10, 10)
    assert "[red]x.nii" in stream.getvalue()
    assert "left" in stream.getvalue()
