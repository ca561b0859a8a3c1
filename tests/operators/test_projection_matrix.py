"""The matrix of X-ray views against rays traced one by one, and its cache against everything a disk can do."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxprior.errors import InputError
from voxprior.operators import projection_cache
from voxprior.operators.projection_cache import key, matrix
from voxprior.operators.projection_matrix import ProjectionGeometry, build_matrix

SMALL = ProjectionGeometry((7, 9), (1.3, 0.9), (0.0, 33.0, 90.0, 141.5), 15, 0.8, offset=0.35)
FLAT = replace(SMALL, beam="fan-flat", source=40.0, detector=70.0, bin_width=1.5)
ARC = replace(FLAT, beam="fan-arc")


def traced(g: ProjectionGeometry, view: int, row: int, column: int, rays: int = 2001) -> np.ndarray:
    """Mean over each bin of the chords that ``rays`` rays cut from one pixel, by clipping each ray at its edges."""
    angle = np.deg2rad(g.angles[view])
    u = g.positions[:, None] + ((np.arange(rays) + 0.5) / rays - 0.5) * g.bin_width
    if g.source is None or g.detector is None:
        start = np.stack([u * np.cos(angle), u * np.sin(angle)])
        way = np.broadcast_to(np.array([-np.sin(angle), np.cos(angle)])[:, None, None], start.shape)
    else:
        fan = np.arctan(u / g.detector) if g.beam == "fan-flat" else u / g.detector
        start = g.source * np.broadcast_to(np.array([np.sin(angle), -np.cos(angle)])[:, None, None], (2, *u.shape))
        way = np.stack([-np.sin(angle - fan), np.cos(angle - fan)])
    middle = g.axes()[1][column], g.axes()[0][row]
    enter, leave = np.full(u.shape, -np.inf), np.full(u.shape, np.inf)
    for axis, size in ((0, g.pixel[1]), (1, g.pixel[0])):
        along = np.where(np.abs(way[axis]) < 1e-12, 1e-12, way[axis])
        ends = [(middle[axis] + side * size / 2 - start[axis]) / along for side in (-1, 1)]
        enter, leave = np.maximum(enter, np.minimum(*ends)), np.minimum(leave, np.maximum(*ends))
    return np.maximum(leave - enter, 0).mean(axis=1)


@pytest.mark.parametrize(
    ("g", "tolerance"), [(SMALL, 2e-3), (FLAT, 4e-3), (ARC, 4e-3)], ids=["parallel", "fan-flat", "fan-arc"]
)
def test_every_entry_is_the_mean_chord_of_the_rays_of_a_bin(g: ProjectionGeometry, tolerance: float) -> None:
    """Guards angles, offset, fan and units together: exact for parallel rays (2001 of them are not), 0.3 % in a fan."""
    dense = build_matrix(g).toarray().reshape(g.views, g.bins, *g.shape)
    for view in range(g.views):
        for row, column in ((0, 0), (3, 4), (6, 1), (2, 8)):
            expected = traced(g, view, row, column)
            assert np.abs(dense[view, :, row, column] - expected).max() < tolerance * 1.3
            assert dense[view, :, row, column].sum() == pytest.approx(expected.sum(), rel=5e-3, abs=1e-3)


@given(
    angle=st.floats(-400, 400),
    pixel=st.tuples(st.floats(0.3, 3), st.floats(0.3, 3)),
    width=st.floats(0.2, 5),
    beam=st.sampled_from(["parallel", "fan-flat", "fan-arc"]),
)
def test_a_view_loses_nothing(angle: float, pixel: tuple[float, float], width: float, beam: str) -> None:
    """Each view of a wide parallel detector holds the area of every pixel, and a fan the area as enlarged there."""
    fan = {} if beam == "parallel" else {"source": 60.0, "detector": 90.0}
    g = ProjectionGeometry((5, 6), pixel, (angle,), 2 * int(60 / width) + 1, width, beam=beam, **fan)  # type: ignore[arg-type]
    sums = np.asarray(build_matrix(g).sum(axis=0)) * width
    y, x = np.meshgrid(*g.axes(), indexing="ij")
    a = np.deg2rad(angle)
    across, depth = (x * np.cos(a) + y * np.sin(a)).ravel(), (y * np.cos(a) - x * np.sin(a)).ravel() + 60
    far = np.hypot(across, depth)
    enlarged = {"parallel": 1.0, "fan-flat": 90 * far / depth**2, "fan-arc": 90 / far}
    np.testing.assert_allclose(sums, pixel[0] * pixel[1] * enlarged[beam], rtol=2e-5)


def test_a_far_source_makes_parallel_rays() -> None:
    """The fan tends to the parallel beam as its source moves away, so that both follow one convention."""
    far = build_matrix(replace(SMALL, beam="fan-flat", source=1e6, detector=1e6)).toarray()
    np.testing.assert_allclose(far, build_matrix(SMALL).toarray(), atol=2e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angles": ()}, "at least one view"),
        ({"angles": (0.0, float("nan"))}, "finite"),
        ({"pixel": (0.0, 1.0)}, "positive"),
        ({"bins": 0}, "at least one"),
        ({"beam": "cone"}, "beam 'cone' is unknown"),
        ({"beam": "fan-flat"}, "needs the distances"),
        ({"source": 100.0}, "parallel beam has no source"),
        ({"beam": "fan-flat", "source": 3.0, "detector": 9.0}, "outside the image"),
        ({"beam": "fan-arc", "source": 30.0, "detector": 3.0}, "half a turn"),
    ],
)
def test_impossible_scanners_are_refused(change: dict, message: str) -> None:
    """Guards against matrices of nonsense: each slip is named in one line."""
    with pytest.raises(InputError, match=message):
        replace(SMALL, **change)


def test_a_matrix_that_no_memory_holds_is_refused_before_it_is_built() -> None:
    """Guards 8 GB machines: 1000 views of 1000 x 1000 pixels are told to shrink."""
    with pytest.raises(InputError, match="fewer views or larger pixels"):
        build_matrix(ProjectionGeometry((1000, 1000), (1, 1), tuple(range(1000)), 1500, 1.0))


@pytest.mark.parametrize("g", [SMALL, FLAT, ARC], ids=lambda g: g.beam)
def test_numbers_survive_json(g: ProjectionGeometry) -> None:
    """A certificate holds everything: the geometry read back is the same, and so is its key."""
    back = ProjectionGeometry.from_dict(json.loads(json.dumps(g.to_dict())))
    assert back == g and key(back) == key(g)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own that keeps even small matrices."""
    monkeypatch.setenv("VOXPRIOR_CACHE", str(tmp_path))
    monkeypatch.setattr(projection_cache, "SMALLEST", 0)
    return tmp_path / "projections"


def test_a_matrix_is_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the point of the cache: the second time nothing is built, and the numbers are the same."""
    first = matrix(SMALL).toarray()
    assert [p.name for p in cache.iterdir()] == [f"{key(SMALL)}.npz"]
    monkeypatch.setattr(projection_cache, "build_matrix", lambda g: pytest.fail("built again"))
    np.testing.assert_array_equal(matrix(SMALL).toarray(), first)


@pytest.mark.parametrize("change", [{"offset": 0.36}, {"angles": (0.0, 33.0, 90.0, 141.0)}, {"bins": 16}])
def test_every_number_is_in_the_key(change: dict) -> None:
    """Another geometry never gets this one's matrix."""
    assert key(replace(SMALL, **change)) != key(SMALL)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 255
    path.write_bytes(bytes(data))


def _other(path: Path) -> None:
    a = build_matrix(SMALL)
    with path.open("wb") as stream:  # a valid file whose columns point outside the image
        np.savez(stream, data=a.data, indices=a.indices + 60, indptr=a.indptr)


@pytest.mark.parametrize("damage", [_cut, _flip, _other, lambda p: p.write_bytes(b""), lambda p: p.write_text("x")])
def test_a_damaged_file_is_built_again(damage, cache: Path) -> None:
    """Guards against wrong numbers and crashes from a bad disk: the file is replaced by a good one."""
    expected = matrix(SMALL).toarray()
    damage(cache / f"{key(SMALL)}.npz")
    np.testing.assert_array_equal(matrix(SMALL).toarray(), expected)
    with np.load(cache / f"{key(SMALL)}.npz") as arrays:
        assert len(arrays["data"]) == np.count_nonzero(expected)


def test_the_cache_stays_within_its_size(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was not used for longest goes first; what a killed process left goes after a day."""
    geometries = [replace(SMALL, offset=0.1 * k) for k in range(4)]
    now = time.time()
    for age, g in enumerate(geometries[:3]):
        matrix(g)
        os.utime(cache / f"{key(g)}.npz", (now - 100 + age, now - 100 + age))
    matrix(geometries[0])  # used again: the second is now the oldest
    left = cache / "left.part"
    left.write_bytes(b"x")
    os.utime(left, (now - 1e6, now - 1e6))
    size = max(p.stat().st_size for p in cache.iterdir())
    monkeypatch.setenv("VOXPRIOR_CACHE_MB", str(3.5 * size / 2**20))
    matrix(geometries[3])
    assert {p.stem for p in cache.iterdir()} == {key(geometries[k]) for k in (0, 2, 3)}


def test_without_a_place_to_keep_it_the_matrix_is_still_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    """A home that cannot be written, and a cache of size 0, are no errors."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("VOXPRIOR_CACHE", str(blocked))
    assert matrix(SMALL).nnz
    monkeypatch.setenv("VOXPRIOR_CACHE", str(tmp_path))
    monkeypatch.setenv("VOXPRIOR_CACHE_MB", "0")
    assert matrix(SMALL).nnz and not cache.exists()


def test_small_matrices_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is built in no time is not worth a file."""
    monkeypatch.setenv("VOXPRIOR_CACHE", str(tmp_path))
    matrix(SMALL)
    assert not list(tmp_path.iterdir())
