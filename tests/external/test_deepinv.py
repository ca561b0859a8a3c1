"""deepinv and Voxprior serve each other: its physics as operators, our priors as its denoisers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.external

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-deepinv" / "bin" / "python"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What deepinv_pieces.py found, with the source of this package on the path."""
    if not PYTHON.exists():
        pytest.skip("there is no .venv-deepinv; .ci/run says how to make it")
    out = tmp_path_factory.mktemp("deepinv") / "found.json"
    words = [PYTHON, Path(__file__).with_name("deepinv_pieces.py"), out]
    subprocess.run(words, check=True, timeout=600, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    values: dict[str, Any] = json.loads(out.read_text())
    return values


def test_its_physics_are_operators(found: dict[str, Any]) -> None:
    """Guards the adapter: blurs of slices and volumes, decimation, masks, views and complex MRI keep the contract."""
    assert len(found["physics"]) == 6
    assert found["physics"] == dict.fromkeys(found["physics"], "passes")


def test_our_prior_is_its_denoiser(found: dict[str, Any]) -> None:
    """Guards class, noise levels a sample, and gradients, which its solvers ask for."""
    assert found["denoiser"]["is a Denoiser"]
    assert found["denoiser"]["levels"] < 1e-6
    assert found["denoiser"]["gradient"] > 0.1


def test_its_plug_and_play_restores_a_head_with_our_prior(found: dict[str, Any]) -> None:
    """Guards scale and orientation of the prior there: 2.2 dB above the best of five Tikhonov reconstructions."""
    psnr = found["psnr"]
    assert psnr["dpir"] > psnr["tikhonov"] + 1.9 and psnr["tikhonov"] > psnr["measured"] + 2
