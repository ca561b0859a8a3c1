"""Combination and compression of coils, and the part of k-space that can calibrate them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phantoms import HEAD_SLICE, sensitivities
from voxprior.errors import InputError
from voxprior.operators.coils import (
    adaptive_combine,
    calibration_region,
    compress,
    resample,
    root_sum_of_squares,
    virtual_coil,
)
from voxprior.operators.masks import make_mask

SHAPE = (64, 50)


def _coil_images() -> torch.Tensor:
    return torch.from_numpy(sensitivities(SHAPE) * HEAD_SLICE.pixels(SHAPE)).to(torch.complex64)


def _noisy(images: torch.Tensor, std: float) -> torch.Tensor:
    noise = torch.randn((*images.shape, 2), generator=torch.Generator().manual_seed(0))
    return images + std * torch.view_as_complex(noise)


def test_root_sum_of_squares_is_the_magnitude_where_maps_share_the_signal() -> None:
    """With sum |maps|^2 = 1 it gives the image's magnitude back."""
    found = root_sum_of_squares(_coil_images(), 0)
    np.testing.assert_allclose(found, np.abs(HEAD_SLICE.pixels(SHAPE)), atol=1e-6)


def test_adaptive_combination_keeps_signal_and_lowers_the_noise_of_air() -> None:
    """Walsh: the image's magnitude within 1 % on average; in air half the root-sum-of-squares' floor or less."""
    images = _noisy(_coil_images(), 0.02)
    found = adaptive_combine(torch.stack([images, 2 * images.flip(1)]))
    assert found.shape == (2, *SHAPE) and found.is_complex()
    truth = np.abs(HEAD_SLICE.pixels(SHAPE))
    inside = truth > 0.3
    assert np.mean(np.abs(found[0].abs().numpy() - truth)[inside]) < 0.03
    assert abs(np.mean((found[0].abs().numpy() - truth)[inside])) < 0.005
    air = np.zeros(SHAPE, bool)
    air[:, :6] = True
    assert found[0].abs()[air].mean() < 0.5 * root_sum_of_squares(images, 0)[air].mean()
    # The second sample is handled on its own: flipped and doubled it is as good.
    assert abs(np.mean((found[1].abs().numpy()[::-1] / 2 - truth)[inside])) < 0.005


def test_adaptive_combination_of_one_coil_is_the_coil() -> None:
    """Nothing to combine: the image comes back up to its phase."""
    image = _coil_images()[:1]
    assert torch.allclose(adaptive_combine(image[None])[0].abs(), image[0].abs(), atol=1e-6)


def test_compression_of_dependent_coils_loses_nothing() -> None:
    """Twenty coils that are mixes of nine are nine: the rows are orthonormal and restore all of the data."""
    rng = np.random.default_rng(0)
    mix = torch.from_numpy(rng.normal(size=(20, 9)) + 1j * rng.normal(size=(20, 9))).to(torch.complex64)
    kspace = torch.stack([torch.einsum("cd,dyx->cyx", mix, _coil_images() * scale) for scale in (1.0, 0.3)])
    small, matrix = compress(kspace, 9)
    assert small.shape == (2, 9, *SHAPE)
    assert torch.allclose(matrix @ matrix.mH, torch.eye(9, dtype=matrix.dtype), atol=1e-5)
    back = torch.einsum("dc,sdyx->scyx", matrix.conj(), small)
    assert torch.linalg.vector_norm(back - kspace) < 1e-5 * torch.linalg.vector_norm(kspace)
    energy = torch.linalg.vector_norm(small.transpose(0, 1).flatten(1), dim=1)
    assert (energy[:-1] >= energy[1:]).all()


def test_compression_keeps_the_most_energy_that_so_few_coils_can() -> None:
    """The energy lost is the sum of the squares of the singular values left out."""
    kspace = _noisy(_coil_images(), 0.1)[None]
    small, _ = compress(kspace, 4)
    values = torch.linalg.svdvals(kspace[0].flatten(1))
    assert torch.isclose((small.abs() ** 2).sum(), (values[:4] ** 2).sum(), rtol=1e-4)


@pytest.mark.parametrize("coils", [0, 10])
def test_compression_to_no_coil_or_to_more_is_refused(coils: int) -> None:
    """The line says what may be asked."""
    with pytest.raises(InputError, match="ask for 1 to 9"):
        compress(_coil_images()[None], coils)


def test_the_virtual_coil_does_not_depend_on_a_common_phase() -> None:
    """Turning all coils by one angle turns nothing of the mix; it has unit length."""
    images = _coil_images()
    found = virtual_coil(images)
    assert torch.allclose(found, virtual_coil(images * np.exp(0.7j)), atol=1e-5)
    assert torch.isclose(torch.linalg.vector_norm(found), torch.tensor(1.0))


def test_resampling_keeps_the_ends_and_smooth_maps() -> None:
    """Maps of a 20 x 17 grid on 64 x 50 pixels: ends exact, the inside to 1e-3."""
    y, x = (torch.linspace(0, 1, n)[:, None] for n in (20, 17))
    fine_y, fine_x = (torch.linspace(0, 1, n)[:, None] for n in SHAPE)

    def field(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(1j * (2 * y + x.T**2))[None, None]

    found = resample(field(y, x), SHAPE)
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    assert torch.allclose(found[inner], field(fine_y, fine_x)[inner], atol=1e-3)
    assert torch.allclose(found, field(fine_y, fine_x), atol=2e-2)
    assert torch.allclose(found[..., [0, -1], -1], field(y, x)[..., [0, -1], -1], atol=1e-6)


def _slow_region(mask: np.ndarray) -> tuple[int, int]:
    sizes = [(0, 0)]
    for h in range(1, mask.shape[0] + 1):
        for w in range(1, mask.shape[1] + 1):
            top, left = mask.shape[0] // 2 - h // 2, mask.shape[1] // 2 - w // 2
            if mask[top : top + h, left : left + w].all():
                sizes.append((h, w))
    return max(sizes, key=lambda s: (min(s), s[0] * s[1]))


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    share=st.sampled_from([0.0, 0.3, 0.9, 0.97, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_calibration_region_is_the_largest_of_all_rectangles(
    shape: tuple[int, int], share: float, seed: int
) -> None:
    """Odd and even sides, scattered and full masks, against a search of every rectangle."""
    mask = np.random.default_rng(seed).random(shape) < share
    found, expected = calibration_region(mask), _slow_region(mask)
    assert (min(found), found[0] * found[1]) == (min(expected), expected[0] * expected[1])
    top, left = (n // 2 - s // 2 for n, s in zip(shape, found, strict=True))
    assert mask[top : top + found[0], left : left + found[1]].all()


@pytest.mark.parametrize(
    ("name", "expected"), [("uniform", (96, 24)), ("poisson", (24, 24)), ("center", (24, 24)), ("random", (24, 24))]
)
def test_calibration_region_of_the_masks(name: str, expected: tuple[int, int]) -> None:
    """What the families call ACS is found, or a line more where chance measured a neighbour."""
    found = calibration_region(make_mask(name, (96, 128), 6, 24).keep)
    assert all(e <= f <= e + 2 for f, e in zip(found, expected, strict=True))
