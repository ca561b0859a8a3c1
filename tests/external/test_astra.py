"""ASTRA, whose projectors share no code with ours, gives the same views and the same back-projection."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from phantoms import HEAD
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.operators.tomography import Tomography

pytestmark = pytest.mark.external

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-astra" / "bin" / "python"
SIZE, PIXEL = 64, 0.75


@pytest.mark.parametrize("beam", ["parallel", "fan-flat"])
def test_views_and_backprojection_are_those_of_astra(beam: str, tmp_path: Path) -> None:
    """Guards angles, signs, bins and units of both beams, and the transpose, against area-weighted projectors.

    Parallel: the same areas, but for single-precision positions there. Fan: its strips lose slivers of some pixels, up
    to a tenth of one, where rays that are traced one by one agree with ours.
    """
    if not PYTHON.exists():
        pytest.skip("there is no .venv-astra; .ci/run says how to make it")
    fan = {} if beam == "parallel" else {"source": 120.0, "detector": 200.0}
    width = PIXEL if beam == "parallel" else 1.4
    angles = np.deg2rad(7.0 + np.arange(20) * 18.0)
    g = ProjectionGeometry((SIZE, SIZE), (PIXEL, PIXEL), tuple(np.rad2deg(angles)), 95, width, 0.0, beam, **fan)  # type: ignore[arg-type]
    y, x = g.axes()
    image = HEAD.at(x, y[:, None], 1.0).astype(np.float32)
    views = np.random.default_rng(0).random((g.views, g.bins), dtype=np.float32)
    np.savez(tmp_path / "in.npz", image=image, sinogram=views, angles=angles, pixel=PIXEL, width=width, **fan)
    worker = ROOT / "benchmarks" / "projector_astra.py"
    subprocess.run([PYTHON, worker, tmp_path / "in.npz", tmp_path / "out.npz"], check=True, timeout=300)
    operator = Tomography(g)
    with np.load(tmp_path / "out.npz") as theirs:
        forward = operator.apply(torch.from_numpy(image)[None])[0].numpy()
        back = operator.adjoint(torch.from_numpy(views)[None])[0].numpy()
        for found, expected, fan_tolerance in ((forward, theirs["forward"], 2e-3), (back, theirs["back"], 1e-2)):
            tolerance = 1e-4 if beam == "parallel" else fan_tolerance
            assert np.abs(found - expected).max() < tolerance * found.max()
