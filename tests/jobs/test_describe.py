"""The drawing and the doubts of ``describe``."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from voxprior.jobs.describe import DRAWN_COLUMNS, doubts, drawing
from voxprior.jobs.options import SrOptions
from voxprior.jobs.plan import plan
from voxprior.volume import SliceGeometry, Volume, slice_geometry


@pytest.fixture
def scan() -> Volume:
    """White noise, blurred a little: every frequency is there, as in an image that was measured as it is stored."""
    noise = np.random.default_rng(2).normal(size=(64, 48, 12))
    return Volume((gaussian_filter(noise, (0.5, 0.5, 0)) + 10).astype(np.float32), np.diag([1.0, 1, 4, 1]))


def test_a_scan_measured_as_it_is_stored_raises_no_doubt(scan: Volume) -> None:
    """Guards against warnings that cry wolf."""
    assert doubts(scan, slice_geometry(scan)) == []


@pytest.mark.parametrize("kept", [0.5, 0.7])
def test_zero_filled_voxels_are_noticed(scan: Volume, kept: float) -> None:
    """Guards the warning about interpolation in plane, and the detail that it names."""
    spectrum = np.fft.fft(scan.data, axis=0)
    spectrum[np.abs(np.fft.fftfreq(64)) > kept / 2] = 0
    filled = Volume(np.fft.ifft(spectrum, axis=0).real.astype(np.float32), scan.affine)
    (doubt,) = doubts(filled, slice_geometry(filled))
    assert doubt.startswith("axis i looks interpolated")
    detail = float(doubt.split("about ")[1].split(" mm")[0])
    assert detail == pytest.approx(1 / kept, rel=0.1)


def test_missing_and_copied_slices_are_named(scan: Volume) -> None:
    """Guards series with holes."""
    data = scan.data.copy()
    data[..., 4] = 0
    data[..., 9] = data[..., 8]
    broken = Volume(data, scan.affine)
    found = " ".join(doubts(broken, slice_geometry(broken)))
    assert "slices without content: 4" in found
    assert "slices equal to the one before: 9" in found


@pytest.mark.parametrize(("thickness", "rows"), [(3.0, 1), (4.0, 1), (6.0, 2)])
def test_the_drawing_is_to_scale(thickness: float, rows: int) -> None:
    """Guards the picture: blocks as wide as the slices are thick, overlapping ones in two rows."""
    g = SliceGeometry(2, 12, 4.0, thickness, 50, 1.0)
    lines = drawing(g)
    assert len(lines) == rows + 2
    width = DRAWN_COLUMNS * thickness / (3 * 4.0 + thickness)
    assert abs(len(lines[0].split()[1]) - width) < 2
    assert lines[-1].split()[1] == "0"
    assert max(map(len, lines)) < 100


def test_the_plan_grows_with_work() -> None:
    """Guards the prediction's order: more samples and more voxels need more, a baseline less."""
    g = SliceGeometry(2, 20, 5.0, 5.0, 100, 1.0)
    mean = plan(g, (100, 100, 20), SrOptions())
    sampled = plan(g, (100, 100, 20), SrOptions(mode="sample", samples=2))
    assert mean.voxels == 10**6
    assert sampled.seconds > 5 * mean.seconds > 0
    assert sampled.memory > mean.memory
    assert plan(g, (200, 100, 20), SrOptions()).memory > mean.memory
    assert plan(g, (100, 100, 20), SrOptions(method="cubic")).seconds < mean.seconds
