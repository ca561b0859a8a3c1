"""Pairs: two volumes of one place, by shape and by affine, or the pair is left out with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxprior.errors import InputError
from voxprior.io.headers import Claim
from voxprior.training.data import load_subjects
from voxprior.training.sources.detect import LeftOut, find
from voxprior.training.sources.pairs import require_one_place
from voxprior.training.sources.spline import spline_downsample
from voxprior.training.sources.volumes import load_pairs

Write = Callable[..., Path]
FINE = np.diag([1.0, 1.0, 1.0, 1.0])


def _image(shape: tuple[int, int, int] = (36, 40, 44), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.uniform(50, 900, [n // 4 for n in shape]), np.ones((4, 4, 4))).astype(np.float32)


def _tree(root: Path, write: Write, names: tuple[str, str], affine: np.ndarray, coarse: np.ndarray) -> Path:
    for i in range(3):
        write(root / names[1] / f"p{i}.nii.gz", _image(seed=i), affine=FINE)
        write(root / names[0] / f"p{i}.nii.gz", coarse, affine=affine)
    return root


@pytest.mark.parametrize(
    "names", [("low", "high"), ("low_res", "high_res"), ("LR", "HR"), ("train/low_res", "train/high_res")]
)
def test_folders_of_pairs(tmp_path: Path, write: Write, names: tuple[str, str]) -> None:
    """Every pair of names works, in any case and depth; both volumes are on the measured one's scale (MS-07)."""
    coarse, affine = spline_downsample(_image(), FINE, 2.0)
    pairs = load_pairs(_tree(tmp_path, write, names, affine, coarse), ("fit", "tune"))
    assert len(pairs) == 3 and {p.truth.role for p in pairs} == {"fit", "tune"}
    for pair in pairs:
        assert pair.measured.image.shape == (18, 20, 22) and pair.truth.image.shape == (36, 40, 44)
        assert pair.measured.role == pair.truth.role
        ratio = pair.truth.codes.max() / pair.truth.image.max()
        assert pair.measured.codes.max() / pair.measured.image.max() == pytest.approx(float(ratio), rel=1e-5)


def test_the_two_of_a_pair_show_one_place(tmp_path: Path, write: Write) -> None:
    """A bright point lies at the same place in patient space in both, whatever the order their axes are stored in."""
    fine = np.full((36, 40, 44), 10.0, np.float32)
    fine[20:24, 8:12, 30:34] = 900
    coarse, affine = spline_downsample(fine, FINE, 2.0)
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = coarse.shape[0] - 1
    turned = (affine @ flip)[:, [1, 2, 0, 3]]
    for i in range(2):
        write(tmp_path / "HR" / f"p{i}.nii.gz", fine, affine=FINE)
        write(tmp_path / "LR" / f"p{i}.nii.gz", coarse[::-1].transpose(1, 2, 0), affine=turned)
    pair = load_pairs(tmp_path, ("fit",))[0]
    for scan in pair:
        weight = np.where(scan.codes > 300, scan.codes, 0)
        index = [np.average(np.arange(n), weights=weight.sum(tuple(b for b in range(3) if b != a)))
                 for a, n in enumerate(weight.shape)]
        assert scan.affine[:3] @ [*index, 1] == pytest.approx([21.5, 9.5, 31.5], abs=0.1)


@pytest.mark.parametrize(
    ("affine", "shape", "word"),
    [
        (FINE, (18, 20, 22), "spans 18 x 20 x 22 mm"),  # MS-08: the true one's affine was kept
        (np.diag([2.0, 2.0, 2.0, 1.0]), (16, 16, 16), "spans"),  # MS-07: another field of view
        (np.diag([2.0, 2.0, 2.0, 1.0]) + np.eye(4, k=3) * 6.0, (18, 20, 22), "mm apart"),
        (np.diag([1.0, 1.0, 1.0, 1.0]), (36, 40, 44), "not coarser"),
        (np.diag([0.5, 2.0, 2.0, 1.0]), (72, 20, 22), "not coarser"),
        (np.array([[1.9, 0.6, 0, 0], [-0.6, 1.9, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]), (18, 20, 22), "directions"),
    ],
)
def test_what_is_no_pair(
    tmp_path: Path, write: Write, affine: np.ndarray, shape: tuple[int, int, int], word: str
) -> None:
    """Affines or shapes that contradict each other are named; the other pairs are used."""
    coarse, right = spline_downsample(_image(), FINE, 2.0)
    root = _tree(tmp_path, write, ("low", "high"), right, coarse)
    write(root / "low" / "p1.nii.gz", _image((72, 40, 44))[: shape[0], : shape[1], : shape[2]], affine=affine)
    with pytest.warns(LeftOut, match=word):
        assert [f.scan.name for f in find(root)] == ["p0", "p2"]


def test_a_pair_without_its_other_half(tmp_path: Path, write: Write) -> None:
    """A true volume without a measured one is named."""
    coarse, affine = spline_downsample(_image(), FINE, 2.0)
    root = _tree(tmp_path, write, ("LR", "HR"), affine, coarse)
    (root / "LR" / "p2.nii.gz").unlink()
    with pytest.warns(LeftOut, match="no measured volume LR/p2"):
        assert len(load_subjects(root, ("fit", "tune"))) == 2


def test_a_folder_without_pairs(trees: dict[str, Path]) -> None:
    """Volumes that are no pairs cannot be loaded as such."""
    with pytest.raises(InputError, match="no pair"):
        load_pairs(trees["ixi"], ("fit",))


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(*[st.integers(16, 200)] * 3), factor=st.floats(1.1, 6), shift=st.floats(-9, 9),
    variant=st.sampled_from(["filtered", "published"]),
)
def test_every_simulated_volume_makes_a_pair(
    shape: tuple[int, int, int], factor: float, shift: float, variant: str
) -> None:
    """Both variants, for any size and factor, are of one place; moved by more than a voxel they are not."""
    angle = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = angle * 0.7, (shift, 3, -40)
    small = np.zeros(shape, np.uint8)
    coarse, placed = _placed(small, affine, 0.7 * factor, variant)
    true, measured = _claim(shape, affine), _claim(coarse, placed)
    require_one_place(measured, true, Path("a.nii"))
    moved = placed.copy()
    moved[:3, 3] += 1.1 * 0.7 * factor * angle[:, 0]
    with pytest.raises(InputError, match="apart"):
        require_one_place(_claim(coarse, moved), true, Path("a.nii"))


def _placed(image: np.ndarray, affine: np.ndarray, spacing: float, variant: str) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine that each axis would get; along one axis at a time, which is much quicker and the same."""
    shape, result = [], affine.copy()
    for axis in range(3):
        thin = [2, 2, 2]
        thin[axis] = image.shape[axis]
        sizes = [0.7, 0.7, 0.7]
        sizes[axis] = spacing
        coarse, placed = spline_downsample(np.zeros(thin, np.float32), affine, (sizes[0], sizes[1], sizes[2]), variant)
        shape.append(coarse.shape[axis])
        result[:3, axis] = placed[:3, axis]
        result[:3, 3] += placed[:3, 3] - affine[:3, 3]
    return tuple(shape), result


def _claim(shape: tuple[int, ...], affine: np.ndarray) -> Claim:
    return Claim((shape[0], shape[1], shape[2]), 1, np.dtype(np.float32), 352, affine)
