"""Slabs cover a volume exactly once, whatever their size, and the network's answer does not depend on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.bound import BoundPrior
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.plain import unconditional
from voxprior.priors.planes import Slabs, slicewise
from voxprior.priors.portion import FORWARD_BYTES, VOXELS_AT_ONCE, largest_call, voxels_at_once
from voxprior.priors.weights import load
from voxprior.volume import SliceGeometry, fine_affine

TOLERANCE = 1e-5
"""Of the range: by how much a voxel may depend on how many slabs a network call holds."""
lengths = st.integers(1, 9)


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 2), lengths, lengths, lengths),
    axes=st.permutations(range(3)),
    slab=st.integers(1, 5),
    halo=st.integers(0, 3),
    batch=st.integers(1, 7),
)
def test_slabs_are_a_partition_of_unity(
    shape: tuple[int, ...], axes: list[int], slab: int, halo: int, batch: int
) -> None:
    """Guards voxels that no slab covers, and voxels that two do: ones added up are ones everywhere."""
    slabs, total = Slabs(axes[0], axes[1], slab, halo), torch.zeros(shape)

    def one(x: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        slabs.add(torch.ones_like(x[:, halo : halo + slab]), total, sample, start)
        return torch.ones_like(x[:, halo : halo + slab])

    written = slicewise(one, slabs, (0.0, 1.0), batch)(torch.full(shape, torch.nan), 1.0)
    assert bool((total == 1).all()) and bool((written == 1).all())


def _bound(voxels: int) -> BoundPrior:
    x, y, z = np.ogrid[-1:1:30j, -1:1:26j, -1:1:7j]
    data = torch.from_numpy(np.where(x**2 + y**2 + z**2 < 0.9, 1 + 0.3 * np.sin(6 * x + 4 * z), 0.0)).float()[None]
    g = SliceGeometry(2, 7, 3.0, 3.0, 21, 1.0)
    operator = Separable.from_slices(g, (30, 26, 7))
    measurement = Measurement(operator, data, None, fine_affine(np.diag([1.0, 1.0, 3.0, 1.0]), g))
    return BoundPrior(load().prior, measurement, voxels)


@pytest.fixture(scope="module")
def whole() -> BoundPrior:
    """The bundled prior, all slabs in one call."""
    return _bound(VOXELS_AT_ONCE)


@pytest.mark.parametrize("voxels", [1, 3000, 7000])
def test_pieces_against_the_whole(whole: BoundPrior, voxels: int) -> None:
    """Guards seams of the trained network: mean, std and denoiser are the same from pieces of any size."""
    pieces = _bound(voxels)
    for one, other in zip(pieces.mean()[:2], whole.mean()[:2], strict=True):
        assert float((one - other).abs().max()) <= TOLERANCE * float(other.max() - other.min())
    noisy = whole.m + 0.2 * torch.randn(whole.m.shape, generator=torch.Generator().manual_seed(1))
    for normal in whole.normals:
        with torch.no_grad():
            other = whole.denoiser(normal)(noisy, 0.2)
            one = pieces.denoiser(normal)(noisy, 0.2)
        assert float((one - other).abs().max()) <= TOLERANCE * float(other.max() - other.min())


@settings(max_examples=20)
@given(
    shape=st.tuples(*[st.integers(2, 12)] * 3),
    voxels=st.integers(1, 600),
    kind=st.sampled_from(["head-slices", "head-kspace"]),
)
def test_the_largest_call_is_foretold(shape: tuple[int, int, int], voxels: int, kind: str) -> None:
    """Guards the planner's arithmetic against what the network is really given, of real and of complex slices."""
    prior = load(kind).prior
    sizes: list[int] = []

    class Told(SlicePrior):
        def forward(self, x: Tensor, *rest: Tensor) -> object:
            sizes.append(x.shape[0] * x.shape[2] * x.shape[3] * self.config.slab)
            return super().forward(x, *rest)

    told = Told(prior.config)
    x = torch.zeros(1, *shape, dtype=torch.complex64 if kind == "head-kspace" else torch.float32)
    with torch.no_grad():
        for axis in range(3):
            unconditional(told, shape, axis, voxels=voxels)(x, 0.5)
    assert max(sizes) == largest_call(shape, prior.config.slab, kind == "head-kspace", voxels)


def test_megabytes_become_voxels() -> None:
    """Guards what --memory has always meant."""
    assert voxels_at_once(None, FORWARD_BYTES) == 1_000_000
    assert voxels_at_once(64, FORWARD_BYTES) == 64 * 2**20 // 600
