"""The values, the drawing and the doubts of ``describe``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from voxprior.jobs.describe import DRAWN_COLUMNS, describe, drawing
from voxprior.jobs.findings import findings, odd_slices
from voxprior.jobs.options import SrOptions
from voxprior.volume import SliceGeometry, Volume


@pytest.fixture
def scan() -> Volume:
    """White noise, blurred a little: every frequency is there, as in an image that was measured as it is stored."""
    noise = np.random.default_rng(2).normal(size=(64, 48, 12))
    return Volume((gaussian_filter(noise, (0.5, 0.5, 0)) + 10).astype(np.float32), np.diag([1.0, 1, 4, 1]))


def test_a_scan_measured_as_it_is_stored_raises_no_doubt(scan: Volume) -> None:
    """Guards against warnings that cry wolf."""
    found = findings(scan, SrOptions())
    assert found["warnings"] == []
    assert [axis["resolution"] for axis in found["axes"]] == [1.0, 1.0, 4.0]


@pytest.mark.parametrize("kept", [0.5, 0.7])
def test_zero_filled_voxels_are_noticed(scan: Volume, kept: float) -> None:
    """Guards the warning about interpolation in plane, and the detail that it names."""
    spectrum = np.fft.fft(scan.data, axis=0)
    spectrum[np.abs(np.fft.fftfreq(64)) > kept / 2] = 0
    filled = Volume(np.fft.ifft(spectrum, axis=0).real.astype(np.float32), scan.affine)
    (doubt,) = findings(filled, SrOptions())["warnings"]
    assert doubt.startswith("axis i looks interpolated")
    detail = float(doubt.split("about ")[1].split(" mm")[0])
    assert detail == pytest.approx(1 / kept, rel=0.1)


def test_missing_and_copied_slices_are_named(scan: Volume) -> None:
    """Guards series with holes."""
    data = scan.data.copy()
    data[..., 4] = 0
    data[..., 9] = data[..., 8]
    found = " ".join(findings(Volume(data, scan.affine), SrOptions())["warnings"])
    assert "slices without content: 4" in found
    assert "slices equal to the one before: 9" in found


@settings(max_examples=20)
@given(axis=st.integers(0, 2), blank=st.integers(2, 5), copy=st.integers(7, 10), noise=st.sampled_from([0.0, 1e-3]))
def test_odd_slices_are_found_along_any_axis(axis: int, blank: int, copy: int, noise: float) -> None:
    """Guards the axis, the numbers counted from 0, blank slices at the ends (padding), and inexact copies."""
    rng = np.random.default_rng(blank)
    slices = rng.normal(size=(12, 9, 10)).astype(np.float32)
    slices[[0, 11]] = 0
    slices[blank] = 3
    slices[copy] = slices[copy - 1] + noise * rng.normal(size=(9, 10)).astype(np.float32)
    assert odd_slices(np.moveaxis(slices, 0, axis), axis) == ([blank], [copy])


def test_the_values_and_the_sentences_agree(scan: Volume) -> None:
    """Guards --json against the text: gap, field of view from edge to edge, what a run needs a mode."""
    found = json.loads(json.dumps(findings(scan, SrOptions(thickness=3))))
    assert (found["slices"]["thickness"], found["slices"]["gap"]) == (3, 1)
    assert found["slices"]["thickness_from"] == "options"
    assert found["field_of_view"] == [64, 48, 11 * 4 + 3]
    ways = {(need["job"], need["method"], need["mode"], need["network"]): need for need in found["needs"]}
    assert {job for job, *_ in ways} == {"sr", "enhance", "recon", "ct", "generate"}
    times = [ways["sr", "voxprior", mode, None]["seconds"] for mode in ("sample", "mean")]
    assert times[0] > 5 * times[1] > 0
    assert all(need["memory"] > 2**27 for need in ways.values())
    assert found["machine"]["multiply_adds_a_second"] > 1e6
    text = "\n".join(describe(found))
    assert "field of view: 64 x 48 x 47 mm" in text
    assert "3 mm thick, gap 1 mm, profile box" in text
    assert "needs on this machine" in text
    assert text.count(" MB ") == len(ways) + (found["machine"]["memory_available"] is not None)


def test_noise_is_measured_in_the_finest_detail() -> None:
    """Guards a scan without air: a smooth bright object with edges, and noise of a known std in its slices."""
    rng = np.random.default_rng(1)
    head = np.zeros((60, 60, 12), np.float32)
    head[5:55, 5:55] = 100 + 20 * np.sin(np.arange(50) / 6)[:, None, None]
    head[20:30, 20:40] = 160
    noisy = np.where(head > 0, head + 2.5 * rng.normal(size=head.shape), 0)
    found = findings(Volume(noisy.astype(np.float32), np.diag([1.0, 1, 4, 1])), SrOptions())
    assert found["noise"]["air"] is None
    assert found["noise"]["detail"] == pytest.approx(2.5, rel=0.1)


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
