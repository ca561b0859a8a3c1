"""ESPIRiT against true sensitivities in closed form, and against the method written out pixel by pixel."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phantoms import HEAD_SLICE, sensitivities
from voxprior.errors import InputError
from voxprior.operators import espirit as module
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.espirit import espirit
from voxprior.operators.fourier import ifft
from voxprior.operators.masks import make_mask


@cache
def _kspace(shape: tuple[int, int], order: int = 1, noise: float = 0.003) -> torch.Tensor:
    rng = np.random.default_rng(0)
    kspace = HEAD_SLICE.coils(shape, order)
    kspace = kspace + noise * (rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape))
    return torch.from_numpy(kspace.astype(np.complex64))[None]


def _head(shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(np.abs(HEAD_SLICE.pixels(shape)) > 0.05)


def _cosine(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray) -> np.ndarray:
    """|<a, b>| over coils: 1 where unit vectors agree up to a phase."""
    return np.asarray(np.abs((np.conj(np.asarray(a)) * np.asarray(b)).sum(0)))


@pytest.mark.parametrize("shape", [(96, 96), (80, 101), (57, 64)])
@pytest.mark.parametrize("order", [1, 2])
def test_true_sensitivities_come_back(shape: tuple[int, int], order: int) -> None:
    """Four and nine coils, even and odd sides: up to a phase the truth, to .999 in 99 of 100 pixels of the head."""
    maps = espirit(_kspace(shape, order))[0]
    head = _head(shape)
    cosine = _cosine(sensitivities(shape, order), maps)[head]
    assert np.median(cosine) > 0.9999 and np.quantile(cosine, 0.01) > 0.999
    norm = (maps.abs() ** 2).sum(0)
    assert torch.all((norm == 0) | ((norm - 1).abs() < 1e-5)) and norm[head].min() > 0.99


def _literal(kspace: np.ndarray, size: int, kernel: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Leading eigenvectors (y, x, coil) and eigenvalues of the paper's equations, one pixel at a time, in float64."""
    coils, height, width = kspace.shape
    top, left = height // 2 - size // 2, width // 2 - size // 2
    rows = [
        kspace[:, top + i : top + i + kernel, left + j : left + j + kernel].ravel()
        for i in range(size - kernel + 1)
        for j in range(size - kernel + 1)
    ]
    _, values, right = np.linalg.svd(np.array(rows), full_matrices=False)
    kernels = right[values > threshold * values[0]].conj().reshape(-1, coils, kernel, kernel)
    vectors, largest = np.empty((height, width, coils), complex), np.empty((height, width))
    for y in range(height):
        for x in range(width):
            wave = np.exp(
                2j * np.pi * np.add.outer(np.arange(kernel) * (y - height // 2) / height,
                                          np.arange(kernel) * (x - width // 2) / width)
            )
            fields = (kernels.conj() * wave).sum((2, 3))
            eigenvalues, eigenvectors = np.linalg.eigh(fields.T @ fields.conj() / kernel**2)
            vectors[y, x], largest[y, x] = eigenvectors[:, -1], eigenvalues[-1]
    return vectors, largest


@pytest.mark.parametrize("shape", [(40, 33), (85, 84)])
def test_it_is_the_method_written_out(shape: tuple[int, int]) -> None:
    """Every pixel's eigenvector and what the crop keeps, also where the grid of eigenvectors is coarser than pixels."""
    kspace = _kspace(shape, 1, 0.01)
    found = espirit(kspace, calibration=(16, 16), kernel=4, threshold=0.03, crop=0.9)[0].numpy()
    vectors, largest = _literal(kspace[0].numpy().astype(complex), 16, 4, 0.03)
    kept = np.abs(found).sum(0) > 0
    sure = np.abs(largest - 0.9) > 1e-3
    assert 0.3 < kept.mean() < 0.99
    assert np.array_equal(kept[sure], largest[sure] >= 0.9)
    cosine = _cosine(vectors.transpose(2, 0, 1), found)[kept]
    assert cosine.min() > 0.995 and np.quantile(cosine, 0.01) > 0.9999


def test_power_iterations_reach_the_eigenvectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the coarse grid or exact at each pixel: the same maps in the head to 1e-4."""
    shape = (120, 130)
    kspace = _kspace(shape, 2)
    quick = espirit(kspace)[0]
    monkeypatch.setattr(module, "COARSE", 1000)
    assert _cosine(quick, espirit(kspace)[0])[_head(shape)].min() > 0.9999


def test_the_size_of_a_chunk_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are handled a few at a time; how many is a matter of memory only."""
    kspace = _kspace((57, 64))
    whole = espirit(kspace)
    monkeypatch.setattr(module, "CHUNK", 5 * 64 * 16)
    torch.testing.assert_close(espirit(kspace), whole, atol=1e-4, rtol=0)


def test_slices_do_not_see_each_other_and_scale_does_not_matter() -> None:
    """A batch gives each slice its own maps; data a million times larger or smaller give the same."""
    kspace = torch.cat([_kspace((57, 64)), _kspace((57, 64)).flip(1) * 1e6, _kspace((57, 64)) * 1e-6])
    found = espirit(kspace)
    for maps, data in zip(found, kspace, strict=True):
        torch.testing.assert_close(maps, espirit(data[None])[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[2], found[0], atol=1e-3, rtol=0)


def test_the_phase_is_that_of_the_first_virtual_coil() -> None:
    """The mix of coils that holds most energy is real and positive in every pixel; a turn of all data turns nothing."""
    kspace = _kspace((57, 64))
    maps = espirit(kspace)[0]
    centre = module.centre(kspace[0], 24).flatten(1)
    reference = torch.linalg.svd(centre, full_matrices=False)[0][:, 0]
    mixed = (reference.conj()[:, None, None] * maps).sum(0)[maps.abs().sum(0) > 0.5]
    spread = mixed / mixed.abs()
    assert (spread - spread[0]).abs().max() < 1e-3
    torch.testing.assert_close(espirit(kspace * np.exp(2j))[0], maps, atol=1e-3, rtol=0)


def test_a_folded_object_needs_two_sets_of_maps() -> None:
    """With half the field of view the head folds over: two sets explain the coil images there, one does not."""
    kspace = _kspace((96, 96), 2)[..., ::2]
    images = ifft(kspace, (2, 3))[0]
    one, two = espirit(kspace)[0], espirit(kspace, sets=2)[0]
    assert two.shape == (2, 9, 96, 48)
    head, folded = _head((96, 96))[:, 24:72], np.roll(_head((96, 96)), 48, 1)[:, 24:72]
    overlap = head & folded
    assert overlap.mean() > 0.1

    def missing(maps: torch.Tensor) -> float:
        """Part of the coil images that is not in the span of the sets."""
        left = images - sum(m * (m.conj() * images).sum(0) for m in maps)
        return float((left[:, overlap].abs() ** 2).sum() / (images[:, overlap].abs() ** 2).sum()) ** 0.5

    assert 2 * missing(two) < missing(one[None])
    # Where one set is enough, the second is cropped away; the two are orthogonal.
    assert np.median(two[1].abs().sum(0)[head & ~folded]) == 0
    assert _cosine(two[0], two[1]).max() < 1e-4


def test_one_coil_has_the_map_one() -> None:
    """There is nothing to calibrate, so that nothing need be sampled densely either."""
    kspace = torch.zeros(2, 1, 12, 9, dtype=torch.complex64)
    kspace[:, :, ::3] = 1
    assert torch.equal(espirit(kspace), torch.ones_like(kspace))


@pytest.mark.parametrize(("name", "acs"), [("uniform", 24), ("uniform", 12), ("uniform", 8), ("poisson", 20)])
def test_undersampled_data_calibrate_themselves(name: str, acs: int) -> None:
    """Only the centre counts: it is found in the data, and 8 lines are enough for the head to stay whole."""
    shape = (96, 90)
    keep = torch.from_numpy(make_mask(name, shape, 4, acs).keep)
    kspace = _kspace(shape, 2) * keep
    maps = espirit(kspace)[0]
    head = _head(shape)
    cosine = _cosine(sensitivities(shape, 2), maps)[head]
    assert np.median(cosine) > (0.999 if acs > 8 else 0.995)
    assert np.mean(cosine > 0.9) > 0.99


@pytest.mark.parametrize("axis", [1, 2])
def test_few_lines_are_made_up_for_along_them(axis: int) -> None:
    """A centre of 8 x 90 is used 72 long when one number is asked for, whichever way the lines run."""
    kspace = torch.zeros(4, 90, 90, dtype=torch.complex64)
    kspace.narrow(axis, 41, 8)[:] = 1
    sides = {axis: 8, 3 - axis: 72}
    assert tuple(module.centre(kspace, 24).shape) == (4, sides[1], sides[2])
    assert tuple(module.centre(kspace, (24, 24)).shape) == (4, min(24, sides[1]), min(24, sides[2]))


@pytest.mark.parametrize("acs", [0, 3])
def test_a_centre_too_small_says_what_to_do(acs: int) -> None:
    """No ACS lines, or three: one line that names what was found and the ways out."""
    keep = np.zeros((32, 32), bool)
    keep[:, ::5] = True
    keep[:, 16 - acs // 2 : 16 - acs // 2 + acs] = True
    keep[:, 16] &= acs > 0
    with pytest.raises(InputError, match=r"fully sampled centre of k-space is .* give maps, or a mask with more"):
        espirit(torch.randn(1, 4, 32, 32, dtype=torch.complex64) * torch.from_numpy(keep))


@pytest.mark.parametrize("sets", [0, 5])
def test_more_sets_than_coils_are_refused(sets: int) -> None:
    """The line says how many there may be."""
    with pytest.raises(InputError, match="ask for 1 to 4"):
        espirit(_kspace((57, 64)), sets=sets)


@given(
    shape=st.tuples(st.integers(20, 50), st.integers(20, 50)),
    coils=st.integers(2, 9),
    kernel=st.integers(2, 7),
    seed=st.integers(0, 2**32),
)
def test_any_shape_coils_and_kernel(shape: tuple[int, int], coils: int, kernel: int, seed: int) -> None:
    """Maps are unit vectors or 0, and finite, also where the data do not determine them."""
    rng = np.random.default_rng(seed)
    maps = simulate_maps(shape, coils, rng)
    texture = np.kron(rng.normal(size=(13, 13)) + 2, np.ones((4, 4)))[: shape[0], : shape[1]]
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(maps * texture, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    found = espirit(torch.from_numpy(kspace.astype(np.complex64))[None], kernel=kernel, calibration=20, crop=0.5)[0]
    norm = (found.abs() ** 2).sum(0)
    assert torch.isfinite(norm).all() and torch.all((norm == 0) | ((norm - 1).abs() < 1e-4))
