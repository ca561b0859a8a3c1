"""Sampling masks: the published counts, the patterns by a literal second way, files, and what the data tell."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import savemat

from voxprior.errors import InputError
from voxprior.operators.masks import FAMILIES, Mask, detect_mask, make_mask, parse_mask, read_mask

SQUARE = (320, 320)
LINES = ("uniform", "equispaced", "random-uniform", "cartesian", "gaussian-1d", "low-frequency")
DRAWN = ("random-uniform", "cartesian", "gaussian-1d", "random", "gaussian-2d", "poisson", "radial")
CALIBRATED = sorted(set(FAMILIES) - {"center", "low-frequency"})
Bool = NDArray[np.bool_]


@pytest.mark.parametrize(
    ("name", "acceleration", "acs", "true"),
    [
        ("uniform", 4, 24, 3.27),
        ("uniform", 6, 24, 4.32),
        ("uniform", 8, 24, 5.25),
        ("uniform", 10, 24, 5.93),
        ("uniform", 12, 24, 6.53),
        ("uniform", 16, 24, 7.44),
        ("uniform", 20, 18, 9.41),
        ("cartesian", 10, 24, 10.0),
        ("random-uniform", 10, 24, 10.0),
        ("random-uniform", 6, 24, 320 / 53),
        ("center", 2, 0, 4.0),
    ],
)
def test_published_masks_have_their_true_accelerations(name: str, acceleration: int, acs: int, true: float) -> None:
    """Guards HF-10: a mask that is called 10-fold is 5.93-fold, and results must say so."""
    mask = make_mask(name, SQUARE, acceleration, acs)
    assert mask.acceleration == pytest.approx(true, abs=5e-3)
    assert (mask.nominal, mask.acs, mask.name, mask.seed) == (acceleration, acs, name, 0)


def test_ten_fold_with_24_central_lines_keeps_54() -> None:
    """The known answer for a matrix of 320; equispaced is the same family."""
    mask = make_mask("uniform", SQUARE, 10, 24)
    assert mask.keep[0].sum() == 54 and mask.lines == 1
    assert np.array_equal(make_mask("equispaced", SQUARE, 10, 24).keep, mask.keep)


@given(st.integers(8, 400), st.integers(1, 48), st.integers(0, 100))
def test_the_comb_is_laid_on_the_list_without_the_centre(n: int, acceleration: int, acs: int) -> None:
    """Its phase jumps across the centre; a comb over all lines keeps others, and another number."""
    acs = min(acs, n)
    centre = list(range((n - acs) // 2, (n + acs) // 2))
    outer = [i for i in range(n) if i not in centre]
    kept = sorted(centre + outer[0::acceleration])
    found = make_mask("uniform", (n, n), acceleration, acs).keep
    assert np.flatnonzero(found[0]).tolist() == kept and (found == found[:1]).all()
    assert len(kept) == acs + -(-(n - acs) // acceleration)


@given(st.integers(16, 400), st.floats(2, 48), st.integers(0, 100), st.sampled_from(LINES[2:5]), st.integers(0, 999))
def test_drawn_lines_number_a_whole_fraction(n: int, acceleration: float, acs: int, name: str, seed: int) -> None:
    """int(N / R) lines in all, the central ones among them; where that cannot be, an error says what can."""
    acs = min(acs, n)
    if int(n / acceleration) < max(acs, 1):
        with pytest.raises(InputError, match="acceleration"):
            make_mask(name, (n, n), acceleration, acs, seed)
        return
    lines = make_mask(name, (n, n), acceleration, acs, seed).keep[0]
    assert lines.sum() == int(n / acceleration)
    assert lines[(n - acs) // 2 : (n + acs) // 2].all()


def test_lines_of_variable_density_follow_the_published_odds() -> None:
    """p = exp(-s (i - N/2)^2) + 1/(2 R), s = .5/(N/10)^2: drawn one at a time, so the first-order odds are p."""
    n, acceleration, acs, draws = 64, 4, 4, 4000
    lines = [make_mask("cartesian", (4, n), acceleration, acs, seed).keep[0] for seed in range(draws)]
    counts = np.sum(lines, axis=0)
    p = np.exp(-0.5 / (n / 10) ** 2 * (np.arange(n) - n / 2) ** 2) + 1 / (2 * acceleration)
    p[(n - acs) // 2 : (n + acs) // 2] = 0
    p /= p.sum()
    # The literal draw, line after line, by a generator that numpy vouches for.
    rng = np.random.default_rng(0)
    literal = np.zeros(n)
    for _ in range(draws):
        literal[rng.choice(n, n // acceleration - acs, replace=False, p=p)] += 1
    outer = p > 0
    spread = np.sqrt(2 * literal[outer] * (1 - literal[outer] / draws) + 1)
    assert (np.abs(counts[outer] - literal[outer]) < 4.5 * spread).all()
    assert (counts[~outer] == draws).all()


@pytest.mark.parametrize("name", CALIBRATED)
def test_the_calibration_region_is_complete(name: str) -> None:
    """Coil maps are estimated from it: a hole there is a hole in every map."""
    mask = make_mask(name, (96, 80), 3, 16)
    assert mask.keep[40:56, 32:48].all()
    assert (mask.lines == 1) == (name in LINES)


@pytest.mark.parametrize(("acceleration", "acs"), [(2, 0), (4, 24), (8, 24), (12, 8), (24, 0), (48, 8)])
def test_poisson_discs_hit_the_acceleration_and_keep_their_distance(acceleration: int, acs: int) -> None:
    """Points that touch waste data and points in heaps alias; 1/R of the samples to half a one."""
    shape = (160, 128)
    keep = make_mask("poisson", shape, acceleration, acs).keep
    assert keep.sum() == round(keep.size / acceleration)
    y, x = np.meshgrid(*((np.arange(n) - n // 2) / (n / 2) for n in shape), indexing="ij")
    outside = np.hypot(y, x) > 1
    inner = np.zeros(shape, dtype=bool)
    inner[(160 - acs) // 2 : (160 + acs) // 2, (128 - acs) // 2 : (128 + acs) // 2] = True
    assert not (keep & outside & ~inner).any()
    drawn = keep & ~inner
    rings = [drawn[(np.hypot(y, x) > a) & (np.hypot(y, x) <= b)].mean() for a, b in ((0.3, 0.5), (0.5, 0.7), (0.7, 1))]
    assert rings == sorted(rings, reverse=True) and rings[0] > 1.3 * rings[2]
    if acceleration >= 24:  # at the edge the distance is several samples: no two neighbours
        edge = drawn & (np.hypot(y, x) > 0.7)
        assert not (edge[1:] & edge[:-1]).any() and not (edge[:, 1:] & edge[:, :-1]).any()


@pytest.mark.parametrize("name", ["random", "gaussian-2d"])
def test_points_hit_the_acceleration(name: str) -> None:
    """Drawn without replacement, so that no point counts twice."""
    keep = make_mask(name, (64, 50), 7, 10).keep
    assert keep.sum() == round(64 * 50 / 7)
    y, x = np.meshgrid(*((np.arange(n) - n // 2) / n for n in (64, 50)), indexing="ij")
    far = keep[np.hypot(y, x) > 0.4].mean()
    assert (far < 0.05) == (name == "gaussian-2d")


@pytest.mark.parametrize("acceleration", [2, 4, 8, 16])
def test_spokes_come_as_near_as_one_spoke_allows(acceleration: int) -> None:
    """Radial sampling on the grid: through the centre, within one spoke of the number wanted."""
    keep = make_mask("radial", (128, 100), acceleration, 0).keep
    assert keep[64, 50]
    assert abs(int(keep.sum()) - keep.size / acceleration) <= 128
    y, x = np.mgrid[:128, :100] - np.array([64, 50])[:, None, None]
    near, far = (keep[(np.hypot(y, x) > a) & (np.hypot(y, x) < b)].mean() for a, b in ((5, 12), (40, 48)))
    assert near > 1.5 * far


def test_low_pass_masks_take_their_size_from_the_centre() -> None:
    """They carry no nominal acceleration then; the square is (N - L)/2 to (N + L)/2."""
    low, square = make_mask("low-frequency", (20, 21), None, 6), make_mask("center", (20, 21), None, 6)
    assert np.flatnonzero(low.keep[3]).tolist() == list(range(7, 13)) and low.nominal is None
    assert square.keep.sum() == 36 and square.keep[7:13, 7:13].all()
    assert make_mask("low-frequency", (20, 20), 4, 0).keep[0].sum() == 5
    assert make_mask("center", (20, 30), 2, 0).keep.sum() == 150


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_is_a_mask(name: str) -> None:
    """The same name and seed on another day must undersample in the same way."""
    first, again, other = (make_mask(name, (64, 48), 4, 8, seed).keep for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@given(
    st.sampled_from(sorted(FAMILIES)),
    st.tuples(st.integers(12, 40), st.integers(12, 40)),
    st.integers(2, 12),
    st.integers(0, 8),
    st.booleans(),
    st.integers(0, 99),
)
def test_the_mask_is_read_off_the_data(
    name: str, shape: tuple[int, int], acceleration: int, acs: int, turned: bool, seed: int
) -> None:
    """Undersampled files carry zeros: along either axis, or in two dimensions, they are what was not measured."""
    try:
        keep = make_mask(name, shape, acceleration, acs, seed).keep
    except InputError:
        return
    keep = keep.T if turned else keep
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((3, *keep.shape)) + 1j * rng.standard_normal((3, *keep.shape))
    data[1] = 0  # a dead coil
    found = detect_mask((data * keep).astype(np.complex64))
    assert np.array_equal(found.keep, keep)
    assert found.name == "data" and found.nominal is None
    if name in LINES and not keep.all():
        assert found.lines == (0 if turned else 1)


def test_data_without_a_sample_are_refused() -> None:
    """An empty slice would be restored from nothing but the prior."""
    with pytest.raises(InputError, match="zero everywhere"):
        detect_mask(np.zeros((2, 4, 4), dtype=np.complex64))


@pytest.mark.parametrize(
    ("name", "acceleration", "acs", "words"),
    [
        ("uniformm", 4, 24, "unknown"),
        ("cartesian", 20, 24, "ACS"),
        ("poisson", 48, 100, "ACS points"),
        ("poisson", 1.1, 0, "ellipse"),
        ("random", 30, 90, "ACS points"),
        ("uniform", 0.5, 24, "acceleration"),
        ("uniform", float("nan"), 24, "acceleration"),
        ("uniform", None, 24, "acceleration"),
        ("uniform", 4, -1, "ACS"),
        ("uniform", 4, 321, "ACS"),
        ("poisson", 4, 321, "ACS"),
        ("gaussian-1d", 400, 0, "nothing"),
    ],
)
def test_impossible_pairs_are_refused(name: str, acceleration: float | None, acs: int, words: str) -> None:
    """One line that says what is wrong, not a mask that is quietly another."""
    with pytest.raises(InputError, match=words) as caught:
        make_mask(name, SQUARE, acceleration, acs)
    assert "\n" not in str(caught.value)


def test_masks_are_given_by_text() -> None:
    """NAME:R:ACS as on the command line, with what a family does not need left out."""
    assert np.array_equal(parse_mask("uniform:8:24", SQUARE).keep, make_mask("uniform", SQUARE, 8, 24).keep)
    assert parse_mask("poisson:8.5:16", (64, 64), 7).seed == 7
    assert parse_mask("low-frequency::16", SQUARE).keep.sum() == 16 * 320
    assert parse_mask("uniform:4", SQUARE).acs == 0
    for text in ("uniform:8:24:1", "uniform:a:24", "uniform:8:2.5"):
        with pytest.raises(InputError, match="NAME:R:ACS"):
            parse_mask(text, SQUARE)


def _cfl(path: Path, mask: Bool) -> None:
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, mask.shape)) + " 1 1 1 \n")
    mask.astype(np.complex64).ravel(order="F").tofile(path)


def _mat73(path: Path, mask: Bool) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["mask"] = mask.T.astype(np.float64)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(128))


WRITERS = {
    "npy": (".npy", np.save),
    "npy-of-floats": (".npy", lambda path, mask: np.save(path, mask.astype(np.float32))),
    "cfl": (".cfl", _cfl),
    "mat": (".mat", lambda path, mask: savemat(path, {"mask": mask.astype(np.float64)})),
    "mat-by-another-name": (".mat", lambda path, mask: savemat(path, {"m": mask.astype(np.uint8)})),
    "mat-7.3": (".mat", _mat73),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_mask_comes_back_from_its_file(kind: str, tmp_path: Path) -> None:
    """A transposed or shifted mask would blame the reconstruction."""
    suffix, write = WRITERS[kind]
    keep = make_mask("poisson", (20, 24), 4, 4).keep
    path = tmp_path / f"mask{suffix}"
    write(path, keep)
    for mask in (read_mask(path, (20, 24)), parse_mask(str(path), (20, 24))):
        assert np.array_equal(mask.keep, keep) and mask.name == path.name
    with pytest.raises(InputError, match="same grid"):
        read_mask(path, (24, 20))


def test_a_file_of_lines_serves_every_row(tmp_path: Path) -> None:
    """Masks of lines are often kept as one row."""
    lines = make_mask("uniform", (8, 24), 3, 4).keep[0]
    for values in (lines, lines[None].astype(float), lines[:, None]):
        np.save(tmp_path / "m.npy", values)
        assert np.array_equal(read_mask(tmp_path / "m.npy", (8, 24)).keep, np.tile(lines, (8, 1)))


def test_broken_mask_files_are_refused_in_one_line(tmp_path: Path) -> None:
    """Each says which file, what is wrong and what to do; nothing in a file can run code."""
    good = np.ones((4, 4))
    np.save(tmp_path / "nan.npy", good * np.nan)
    np.save(tmp_path / "zero.npy", good * 0)
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "short.npy").write_bytes((tmp_path / "nan.npy").read_bytes()[:140])
    (tmp_path / "text.mat").write_text("no matrix")
    savemat(tmp_path / "two.mat", {"a": good, "b": good})
    _cfl(tmp_path / "cut.cfl", good > 0)
    (tmp_path / "cut.cfl").write_bytes(b"1234")
    (tmp_path / "alone.cfl").write_bytes(b"1234")
    (tmp_path / "mask.png").write_bytes(b"1234")
    names = ["nan.npy", "zero.npy", "object.npy", "short.npy", "text.mat", "two.mat", "cut.cfl", "alone.cfl"]
    for name in [*names, "mask.png", "absent.npy"]:
        with pytest.raises(InputError) as caught:
            read_mask(tmp_path / name, (4, 4))
        assert name.split(".")[0] in str(caught.value) and "\n" not in str(caught.value)


def test_a_matlab_file_that_needs_an_extra_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 7.3 is HDF5, which the base install does not read."""
    (tmp_path / "m.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(600))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"voxprior\[kspace\]"):
        read_mask(tmp_path / "m.mat", (4, 4))


def test_a_mask_says_along_which_axis_it_changes() -> None:
    """The solver and the report tell lines from points by it."""
    keep = make_mask("uniform", (6, 8), 2, 2).keep
    assert Mask(keep, "x").lines == 1 and Mask(keep.T, "x").lines == 0
    assert Mask(keep & make_mask("uniform", (8, 6), 2, 2).keep.T, "x").lines is None
    assert Mask(np.ones((3, 4), dtype=bool), "x").lines is None
