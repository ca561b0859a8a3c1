"""The options that make test and make test-external rely on do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CASES = """
import time
import pytest

def test_passes():
    assert True

def test_takes_its_time():
    time.sleep({pause})

def test_is_left_out():
    {skip}

def test_comes_last():
    assert True
"""


def _run(folder: Path, *options: str, pause: float = 0, skip: str = "pytest.skip()") -> tuple[int, str]:
    case = folder / "test_case.py"
    case.write_text(CASES.format(pause=pause, skip=skip))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-c", os.devnull, "-rN"]
    done = subprocess.run(
        [*command, f"--rootdir={folder}", *options, str(case)],
        capture_output=True, text=True, timeout=120, env=environment, cwd=folder, check=False,
    )
    return done.returncode, done.stdout


def test_a_skip_fails_only_where_nothing_may_be_left_out(tmp_path: Path) -> None:
    """A missing program must not turn the outside checks green."""
    assert _run(tmp_path)[0] == 0
    code, output = _run(tmp_path, "--no-skips")
    assert code == 1 and "test_is_left_out" in output
    assert _run(tmp_path, "--no-skips", skip="assert True")[0] == 0


def test_a_run_ends_at_its_time_limit(tmp_path: Path) -> None:
    """The promise of ten minutes is kept by the run, not by hope."""
    code, output = _run(tmp_path, "--time-limit=0.6", pause=0.7)
    assert code != 0 and "more than 0.6 s" in output
    assert "2 passed" in output or "1 passed" in output
    assert _run(tmp_path, "--time-limit=60")[0] == 0
