"""The command line in this process, and what it printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from voxprior.cli.app import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def voxprior(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``voxprior`` with the given words; exit code, stdout and stderr."""

    def run(*words: str | Path) -> Ran:
        code = main([str(word) for word in words])
        return Ran(code, *capsys.readouterr())

    return run
