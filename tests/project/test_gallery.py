"""The scripts of the gallery run as they stand, and say what the page promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = {
    "restore_a_scan": r"voxprior ([\d.]+) dB, cubic ([\d.]+) dB",
    "reconstruct_kspace": r"SENSE ([\d.]+)",
    "train_a_prior": r"(?s)(\d+) parameters.*one step, dB: .*residual after the projection: ([\d.e+-]+)",
}


def _run(name: str, root: Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(root / "docs" / "gallery" / f"{name}.py"), str(folder)],
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_gallery_runs_in_a_minute(root: Path, tmp_path: Path) -> None:
    """Guards the first thing that many copy: every script works, does better than the classical way, and is quick."""
    assert {p.stem for p in (root / "docs" / "gallery").glob("*.py")} == set(SCRIPTS)
    begin = time.process_time(), os.times().children_user
    told = {name: _run(name, root, tmp_path) for name in SCRIPTS}
    for name, pattern in SCRIPTS.items():
        assert re.search(pattern, told[name]), told[name]
    ours, cubic = map(float, re.search(SCRIPTS["restore_a_scan"], told["restore_a_scan"]).groups())
    assert ours > cubic + 1
    ours, sense = map(float, re.findall(r"(?:voxprior|SENSE) (0\.\d+)", told["reconstruct_kspace"]))
    assert ours < sense
    assert float(re.search(SCRIPTS["train_a_prior"], told["train_a_prior"])[2]) < 1e-4
    for picture in ("restore_a_scan.png", "reconstruct_kspace.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    seconds = os.times().children_user - begin[1]
    assert seconds < 120, "processor seconds; a minute on two free cores"
