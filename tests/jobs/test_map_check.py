"""Maps that cannot be right are told of: an object that fills the field of view."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phantoms import HEAD_SLICE, sensitivities
from voxprior.jobs.acquire import acquire, receiver
from voxprior.jobs.map_check import check_maps
from voxprior.jobs.options import ReconOptions
from voxprior.jobs.recon import reconstruct_slice
from voxprior.operators.fourier import fft
from voxprior.operators.masks import make_mask

SENSE = ReconOptions(method="sense")
NOISE = 0.003


def made(crop: int, maps: bool, name: str = "uniform", lines: int = 24) -> tuple[float, float, tuple[str, ...]]:
    """NMSE by SENSE and zero-filled of the middle ``crop`` pixels of a head, and what was warned of."""
    part = slice(48 - crop // 2, 48 + crop // 2)
    image, seen = HEAD_SLICE.pixels((96, 96))[part, part], sensitivities((96, 96), 2)[:, part, part]
    rng = np.random.default_rng(0)
    kspace = fft(torch.from_numpy((seen * image).astype(np.complex64)), (1, 2)).numpy()
    kspace = kspace + NOISE * (rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape))
    mask = make_mask(name, image.shape, 4, lines)
    given = seen.astype(np.complex64) if maps else None
    acquired = acquire(kspace.astype(np.complex64), mask, given, receiver(None, SENSE), SENSE)
    found = reconstruct_slice(acquired, SENSE)
    truth = np.abs(image)
    errors = [float(np.square(np.abs(x) - truth).sum() / np.square(truth).sum()) for x in (found.image, found.plain)]
    return errors[0], errors[1], found.warnings


@pytest.mark.parametrize("crop", [48, 64])
def test_a_head_that_fills_the_field_of_view_is_told_of(crop: int) -> None:
    """Guards against a silent failure: with found maps SENSE is hardly better than zero-filling, and it is said."""
    ours, plain, warnings = made(crop, maps=False)
    assert ours > plain / 1.5, "the maps are good enough: this test has lost its subject"
    assert len(warnings) == 1 and "fills the field of view" in warnings[0]


def test_good_maps_are_not_complained_of() -> None:
    """Guards against crying wolf: a head in air, and true maps of a head that fills the field of view."""
    ours, plain, warnings = made(96, maps=False)
    assert ours < plain / 5 and warnings == ()
    ours, plain, warnings = made(48, maps=True)
    assert ours < plain / 1.5 and warnings == ()


def test_of_a_volume_the_middle_is_looked_at() -> None:
    """The same slice as a volume that is the same along its read-out; one coil, or no read-out, says nothing."""
    part = slice(24, 72)
    image = HEAD_SLICE.pixels((96, 96))[part, part]
    seen = sensitivities((96, 96), 2)[:, part, part]
    keep = make_mask("uniform", image.shape, 4, 24).keep
    y = fft(torch.from_numpy((seen * image).astype(np.complex64)), (1, 2)).numpy() * keep
    wrong = np.ascontiguousarray(np.roll(seen, 9, axis=1)).astype(np.complex64)
    flat = check_maps(y, keep, wrong, None)
    deep = fft(torch.from_numpy(np.stack([y] * 4, axis=2)), (2,)).numpy()
    tall = np.stack([keep] * 4, axis=1), np.stack([wrong] * 4, axis=2)
    whole = check_maps(deep, *tall, None)
    assert flat.doubts and whole.doubts == flat.doubts and whole.std == pytest.approx(flat.std, rel=1e-3)
    assert check_maps(y[:1], keep, wrong[:1], None) == (0.0, ())
    right = check_maps(y, keep, seen.astype(np.complex64), None)
    assert right.doubts == () and right.std < flat.std / 10


@pytest.mark.parametrize("method", ["sense", "tv", "voxprior"])
@pytest.mark.parametrize("given", [None, 1e-6])
def test_data_without_noise_are_not_matched_by_aliasing(method: str, given: float | None) -> None:
    """Guards against taking data at their word where found maps err: SENSE came out 10 000 times too bright."""
    image, seen = HEAD_SLICE.pixels((96, 96)), sensitivities((96, 96), 2)
    kspace = fft(torch.from_numpy((seen * image).astype(np.complex64)), (1, 2)).numpy()
    options = ReconOptions(method=method, noise=given)
    acquired = acquire(kspace, make_mask("random-uniform", image.shape, 4, 12), None, receiver(None, options), options)
    found = reconstruct_slice(acquired, options)
    ours, plain = (float(np.square(np.abs(x) - np.abs(image)).sum()) for x in (found.image, found.plain))
    assert ours < plain, f"{ours:.3g} where zero-filled gives {plain:.3g}"
    assert acquired.told is not None and acquired.told > 10 * (acquired.noise or 0)
    assert found.notes["noise_with_errors_of_maps"] == acquired.told
