"""BART and the tools of ISMRMRD write k-space for us and read what we write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from voxprior.io.kspace import open_kspace
from voxprior.io.reconstructions import write_array

pytestmark = pytest.mark.external

Ask = Callable[..., str]


def coil_images(kspace: NDArray[Any]) -> NDArray[Any]:
    """Of (coil, y, x), centred and orthonormal."""
    shifted = np.fft.ifft2(np.fft.ifftshift(kspace, axes=(1, 2)), norm="ortho")
    return np.fft.fftshift(shifted, axes=(1, 2))


def bart_array(path: Path) -> NDArray[np.complex64]:
    """The axes longer than 1 of a pair of files, the last one first."""
    sizes = [int(word) for word in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return np.fromfile(path.with_suffix(".cfl"), "<c8").reshape([n for n in sizes[::-1] if n > 1])


def test_barts_k_space_is_read_as_bart_reads_it(ask: Ask, tmp_path: Path) -> None:
    """Guards the order of BART's dimensions and its centred unitary transform: BART's own coil images are ours."""
    scan, images = tmp_path / "scan", tmp_path / "images"
    ask("bart", "phantom", "-k", "-s", "4", "-x", "36", scan)
    ask("bart", "resize", "-c", "0", "28", scan, tmp_path / "cut")
    ask("bart", "fft", "-i", "-u", "3", tmp_path / "cut", images)
    expected = bart_array(images).transpose(0, 2, 1)
    with open_kspace(tmp_path / "cut.cfl") as file:
        assert (file.slices, file.coils, file.shape) == (1, 4, (28, 36))
        got = coil_images(file.read(0))
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


def test_barts_slices_and_volumes(ask: Ask, tmp_path: Path) -> None:
    """Dimension 13 is a stack of slices, three dimensions of space are a volume."""
    ask("bart", "phantom", "-k", "-s", "3", "-x", "20", tmp_path / "one")
    ask("bart", "scale", "2", tmp_path / "one", tmp_path / "two")
    ask("bart", "join", "13", tmp_path / "one", tmp_path / "two", tmp_path / "stack")
    with open_kspace(tmp_path / "stack.hdr") as file, open_kspace(tmp_path / "one.cfl") as one:
        assert (file.slices, file.coils, file.shape) == (2, 3, (20, 20))
        np.testing.assert_allclose(file.read(1), 2 * one.read(0), rtol=1e-6)
    ask("bart", "phantom", "-k", "-3", "-s", "2", "-x", "12", tmp_path / "volume")
    ask("bart", "resize", "-c", "2", "8", tmp_path / "volume", tmp_path / "thin")
    expected = bart_array(tmp_path / "thin").transpose(0, 1, 3, 2)
    with open_kspace(tmp_path / "thin.cfl") as file:
        assert (file.slices, file.coils, file.shape) == (1, 2, (8, 12, 12))
        np.testing.assert_array_equal(file.read(0), expected)


@pytest.mark.parametrize("space", [2, 3])
def test_bart_reads_what_is_written(space: int, ask: Ask, tmp_path: Path) -> None:
    """Guards the written pair: BART says its sizes, and its energy is that of the array."""
    rng = np.random.default_rng(1)
    image = (rng.standard_normal((3, 10, 14)) + 1j * rng.standard_normal((3, 10, 14))).astype(np.complex64)
    write_array(lambda path: path, tmp_path / "image.cfl", "image", image, space, None)
    sizes = [int(word) for word in ask("bart", "show", "-m", tmp_path / "image").splitlines()[-1].split()[1:]]
    expected = [10, 14, 1, *[1] * 10, 3] if space == 2 else [10, 14, 3]
    assert sizes[: len(expected)] == expected and set(sizes[len(expected) :]) <= {1}
    dimension = "13" if space == 2 else "2"
    ask("bart", "slice", dimension, "2", "1", "9", tmp_path / "image", tmp_path / "column")
    np.testing.assert_array_equal(bart_array(tmp_path / "column"), image[2, :, 9])


@pytest.mark.parametrize("size", [64, 90])
def test_coil_images_of_the_generator(size: int, ask: Ask, tmp_path: Path) -> None:
    """Guards lines, oversampling and centre together: the generator stores the coil images that it measured."""
    path = tmp_path / "scan.h5"
    ask("ismrmrd_generate_cartesian_shepp_logan", "-m", str(size), "-c", "4", "-n", "0", "-O", "2", "-o", path)
    with h5py.File(path) as file:
        stored = file["dataset"]["coil_images"][0]
    truth = (stored["real"] + 1j * stored["imag"]).transpose(0, 2, 1)
    truth = truth[:, size // 2 : size // 2 + size]
    with open_kspace(path) as file:
        assert (file.kind, file.slices, file.coils, file.shape) == ("ismrmrd", 1, 4, (size, size))
        assert file.mask is not None and file.mask.all()
        got = coil_images(file.read(0))
    scale = np.vdot(got, truth).real / np.vdot(got, got).real
    assert np.linalg.norm(scale * got - truth) < 1e-3 * np.linalg.norm(truth)


def test_undersampled_files_of_the_generator(ask: Ask, tmp_path: Path) -> None:
    """Every other line and a calibrated middle, a noise scan before them, and two repetitions of which one is read."""
    path = tmp_path / "scan.h5"
    sampling = ("-a", "2", "-w", "16", "-r", "1", "-C", "-n", "0.1")
    ask("ismrmrd_generate_cartesian_shepp_logan", "-m", "64", "-c", "4", *sampling, "-o", path)
    with open_kspace(path) as file:
        lines = np.arange(64)
        expected = (lines % 2 == 0) | ((lines >= 24) & (lines < 40))
        assert file.mask is not None
        np.testing.assert_array_equal(file.mask, np.broadcast_to(expected, (64, 64)))
        np.testing.assert_array_equal(np.abs(file.read(0)).max(axis=0) > 0, file.mask)
        assert file.noise is not None and 0.05 < file.noise.std() < 0.2
        assert "2 repetitions (0, 1): repetition 0 is read" in file.warnings
