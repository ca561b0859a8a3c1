"""Outside programs as judges: they share no code with the package."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from external.browser import chromium, link, page

__all__ = ["Ask", "ask", "chromium", "link", "page", "restored"]

Ask = Callable[..., str]


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Run an outside program and return what it prints; skip where it is not installed."""

    def run(program: str, *arguments: str | Path) -> str:
        found = shutil.which(program)
        if found is None:
            pytest.skip(f"{program} is not installed; .ci/run names the package")
        done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def restored(thick_scan: Path) -> Path:
    """The oblique thick scan after the command ``voxprior sr --method linear``, 2 mm slices."""
    from voxprior.cli.app import main

    out = thick_scan.with_name("thin.nii.gz")
    assert main(["sr", "-i", str(thick_scan), "-o", str(out), "--method", "linear", "-q"]) == 0
    return out
