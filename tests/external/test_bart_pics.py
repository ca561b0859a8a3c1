"""The rival gets the problem that it is said to get: BART's pics on fully sampled k-space gives the image back."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from voxprior.evaluate.recon.acquire import Problem
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import fft
from voxprior.operators.masks import Mask


@pytest.fixture
def bart(monkeypatch):
    """The adapter of the benchmark."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks" / "recon"), *sys.path])
    import bart

    yield bart
    sys.modules.pop("bart", None)


@pytest.mark.external
@pytest.mark.parametrize("shape", [(16, 20), (18, 16), (16, 15), (21, 18), (15, 17)])
def test_pics_finds_the_image_behind_our_maps(bart, shape):
    """A grid centred otherwise, or a sign, would let the rival fight its own maps and lose for a wrong reason."""
    rng = np.random.default_rng(0)
    maps = simulate_maps(shape, 4, rng)
    image = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    kspace = fft(torch.from_numpy(maps * image), (-2, -1)).numpy()
    problem = Problem(kspace, maps, Mask(np.ones(shape, dtype=bool), "full"), None, 0.0, None, None)
    found, seconds = bart.reconstruct(problem, "L1-wavelet", 1e-9)
    assert np.linalg.norm(found - image) < 1e-5 * np.linalg.norm(image)
    assert seconds > 0
