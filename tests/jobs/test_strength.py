"""The path from cubic interpolation on the data to the full result: its fit, its detail, and how sure it is."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxprior.errors import InputError
from voxprior.io.certificate import slice_residual
from voxprior.jobs.options import SrOptions
from voxprior.jobs.several_request import SeveralRequest, prepare
from voxprior.jobs.sr import Restored, restore_slices
from voxprior.jobs.strength import mixed, projected_cubic
from voxprior.methods.result import Result
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.volume import SliceGeometry, Volume, slice_affine

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def _head() -> Volume:
    """Slices of 5 voxels of a block of the head that the package carries."""
    image = nibabel.load(Path(str(files("voxprior.demo") / "head.nii.gz")))
    block = np.asarray(image.dataobj, dtype=np.float32)[60:100, 40:100, 50:90]
    step = float(np.linalg.norm(image.affine[:3, 1]))
    g = SliceGeometry(1, 12, 5 * step, 5 * step, 60, step)
    thick = np.moveaxis(np.tensordot(g.matrix(), block, axes=(1, 1)), 0, 1)
    return Volume(thick.astype(np.float32), slice_affine(image.affine, g))


@pytest.fixture(scope="module")
def restored() -> dict[float, Restored]:
    volume = _head()
    return {s: restore_slices(volume, SrOptions(axis="j", strength=s)) for s in STRENGTHS}


def _high(data: np.ndarray, count: int, axis: int) -> float:
    """Energy above the highest frequency that ``count`` slices along ``axis`` can hold; ends are tapered."""
    lines = np.moveaxis(data.astype(np.float64), axis, 0)
    spectrum = np.abs(np.fft.rfft(lines * np.hanning(len(lines))[:, None, None], axis=0)) ** 2
    return float(spectrum[count // 2 + 1 :].sum())


def test_the_ends_are_cubic_on_the_data_and_the_whole_result(restored: dict[float, Restored]) -> None:
    """Guards both ends: 0 is the baseline, 1 what came before there was a strength."""
    cubic = restore_slices(_head(), SrOptions(axis="j", method="cubic-projected"))
    np.testing.assert_allclose(restored[0.0].image.data, cubic.image.data, atol=1e-3)
    whole = restore_slices(_head(), SrOptions(axis="j"))
    np.testing.assert_array_equal(restored[1.0].image.data, whole.image.data)
    half = (restored[0.0].image.data + restored[1.0].image.data) / 2
    np.testing.assert_allclose(restored[0.5].image.data, half, atol=1e-3)


def test_detail_grows_and_the_residual_is_never_above_the_larger_end(restored: dict[float, Restored]) -> None:
    """Guards the promise of the option on a real head."""
    g = restored[1.0].geometry
    energy = [_high(one.image.data, g.count, g.axis) for one in restored.values()]
    added = [_high(r.image.data - restored[0.0].image.data, g.count, g.axis) for r in restored.values()]
    assert added == sorted(added)
    assert energy[1:] == sorted(energy[1:])
    assert energy[1] > 0.95 * energy[0]  # the first steps also take away mistakes of cubic interpolation
    assert energy[-1] > 1.2 * energy[0]
    residual = [slice_residual(g, r.image.data, r.measurement.data)[0] for r in restored.values()]
    assert max(residual) <= max(residual[0], residual[-1]) + 1e-7


def test_showing_less_makes_nobody_surer(restored: dict[float, Restored]) -> None:
    """Guards std and interval: at any strength they reach as far from what is shown as the full result says."""
    full = restored[1.0]
    assert full.std is not None and full.interval is not None
    for s, one in restored.items():
        assert one.std is not None
        assert one.interval is not None
        left_out = one.image.data - full.image.data
        np.testing.assert_allclose(one.std.data, np.hypot(full.std.data, left_out), rtol=1e-3, atol=1e-3)
        width = (one.interval[1].data - one.interval[0].data) / 2
        whole = (full.interval[1].data - full.interval[0].data) / 2
        np.testing.assert_allclose(width, np.hypot(whole, 1.6449 * left_out), rtol=1e-3, atol=2e-3)
        assert one.notes.get("strength", 1.0) == s


@settings(max_examples=25)
@given(seed=st.integers(0, 99), strength=st.floats(0, 1), samples=st.integers(2, 4), fits=st.booleans())
def test_the_path_is_straight_for_any_result(seed: int, strength: float, samples: int, fits: bool) -> None:
    """Guards samples, their mean, and results that do not fit: the residual stays below the larger end."""
    rng = torch.Generator().manual_seed(seed)
    g = SliceGeometry(2, 5, 3.0, 3.0, 15, 1.0)
    operator = Separable.from_slices(g, (4, 3, 5))
    y = torch.randn(1, 4, 3, 5, generator=rng)
    drawn = torch.randn(samples, 4, 3, 15, generator=rng)
    drawn = operator.prox(drawn, y.expand(samples, -1, -1, -1), 0.0) if fits else drawn
    result = Result(drawn.mean(0), drawn.std(0), drawn)
    measurement = Measurement(operator, y, None, np.eye(4))
    shown, bounds = mixed(result, measurement, strength)
    start = projected_cubic(measurement)
    assert shown.samples is not None
    assert bounds is not None
    torch.testing.assert_close(shown.samples.mean(0), shown.mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shown.samples.std(0), strength * drawn.std(0), atol=1e-5, rtol=1e-4)
    ends = [float((operator.apply(x[None]) - y).norm()) for x in (start, result.mean)]
    assert float((operator.apply(shown.mean[None]) - y).norm()) <= max(ends) + 1e-4
    assert bool((bounds[0] <= shown.mean).all() and (shown.mean <= bounds[1]).all())


def test_several_scans_take_no_strength(tmp_path: Path) -> None:
    """Guards against an option that would be passed over in silence."""
    request = SeveralRequest(
        tmp_path / "a.nii", tmp_path / "out.nii", SrOptions(strength=0.5), others=(tmp_path / "b.nii",)
    )
    with pytest.raises(InputError, match="--strength takes one scan"):
        prepare(request)
