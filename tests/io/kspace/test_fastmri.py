"""fastMRI's layout: oversampling, padding and the mask of its test files, with the public format written out here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from voxprior.errors import InputError
from voxprior.io.kspace import open_kspace

Write = Callable[..., Path]
HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <acquisitionSystemInformation><systemVendor>A Vendor</systemVendor></acquisitionSystemInformation>
  <experimentalConditions><H1resonanceFrequency_Hz>123000000</H1resonanceFrequency_Hz></experimentalConditions>
  <encoding>
    <encodedSpace>
      <matrixSize><x>{0[0]}</x><y>{0[1]}</y><z>{0[2]}</z></matrixSize>
      <fieldOfView_mm><x>{1[0]}</x><y>{1[1]}</y><z>{1[2]}</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>{2[0]}</x><y>{2[1]}</y><z>{2[2]}</z></matrixSize>
      <fieldOfView_mm><x>{3[0]}</x><y>{3[1]}</y><z>{3[2]}</z></fieldOfView_mm>
    </reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1>
        <minimum>0</minimum><maximum>{4[0]}</maximum><center>{4[1]}</center>
      </kspace_encoding_step_1>
    </encodingLimits>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>"""
"""As fastMRI's files carry it: encoded matrix and field of view, those to be shown, last line and centre line."""
ENCODED, SHOWN = ((32, 20, 1), (440.0, 275.0, 7.5)), ((16, 16, 1), (220.0, 220.0, 5.0))
"""Read-out oversampled twice, phase encoded beyond what is shown; voxels of 13.75 mm."""


def header(encoded: Any = ENCODED, shown: Any = SHOWN, last: int = 19, center: int = 10) -> NDArray[Any]:
    return np.array(HEADER.format(*encoded, *shown, (last, center)))


def transform(image: NDArray[Any], axis: int, sign: int) -> NDArray[np.complex128]:
    """The centred, orthonormal Fourier sum, written out."""
    n = image.shape[axis]
    k = np.arange(n) - n // 2
    matrix = np.exp(sign * 2j * np.pi * np.outer(k, k) / n) / np.sqrt(n)
    return np.moveaxis(np.tensordot(matrix, image, axes=(1, axis)), 0, axis)


@pytest.fixture
def images() -> NDArray[np.complex128]:
    """Two slices of three coils, 32 x 20, whose outer rows hold something that must go."""
    rng = np.random.default_rng(3)
    return rng.standard_normal((2, 3, 32, 20)) + 1j * rng.standard_normal((2, 3, 32, 20))


@pytest.fixture
def kspace(images: NDArray[np.complex128]) -> NDArray[np.complex64]:
    return transform(transform(images, 2, -1), 3, -1).astype(np.complex64)


def test_read_out_oversampling_is_cut_from_the_image(
    write: Write, images: NDArray[np.complex128], kspace: NDArray[np.complex64]
) -> None:
    """The middle half of the rows stays, to the pixel; the phase direction keeps its lines."""
    rss = np.full((2, 16, 16), 9.0, np.float32)  # a reference image must not be mistaken for data
    with open_kspace(write("fastmri", kspace=kspace, header=header(), reconstruction_rss=rss)) as file:
        assert (file.kind, file.slices, file.coils, file.shape, file.crop) == ("fastmri", 2, 3, (16, 20), (16, 16))
        for index in range(2):
            got = transform(transform(file.read(index), 1, 1), 2, 1)
            np.testing.assert_allclose(got, images[index, :, 8:24], atol=1e-5)


@pytest.mark.parametrize("rows", [(32, 16), (31, 16), (30, 15), (33, 17)])
def test_odd_sizes_keep_the_origin(rows: tuple[int, int], write: Write) -> None:
    """A point at index n // 2 before the cut is at index m // 2 after it, or images shift by a pixel."""
    n, m = rows
    image = np.zeros((1, 1, n, 20), complex)
    image[0, 0, n // 2, 3] = 5j
    data = transform(transform(image, 2, -1), 3, -1).astype(np.complex64)
    sizes = ((n, 20, 1), (10.0 * n, 200.0, 5.0)), ((m, 20, 1), (10.0 * m, 200.0, 5.0))
    with open_kspace(write("fastmri", kspace=data, header=header(*sizes))) as file:
        got = transform(transform(file.read(0)[0], 0, 1), 1, 1)
    expected = np.zeros((m, 20), complex)
    expected[m // 2, 3] = 5j
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_noise_keeps_its_strength(write: Write) -> None:
    """The standard deviation a sample is what the solver weighs the data by; p > 1e-4 of 2 x 3 x 16 x 20 numbers."""
    rng = np.random.default_rng(11)
    noise = rng.standard_normal((2, 3, 32, 20)) + 1j * rng.standard_normal((2, 3, 32, 20))
    with open_kspace(write("fastmri", kspace=noise.astype(np.complex64), header=header())) as file:
        data = np.stack([file.read(0), file.read(1)])
    values = np.concatenate([data.real.ravel(), data.imag.ravel()])
    assert abs(values.var() - 1) < norm.isf(5e-5) * np.sqrt(2 / values.size)


def test_missing_lines_stay_exactly_zero(write: Write, kspace: NDArray[np.complex64]) -> None:
    """Lines are told from their zeros; a rounding error there would turn them into measurements."""
    kspace[..., 1::3] = 0
    with open_kspace(write("fastmri", kspace=kspace, header=header())) as file:
        measured = np.abs(file.read(1)).max(axis=0) > 0
    np.testing.assert_array_equal(measured, np.broadcast_to(np.arange(20) % 3 != 1, (16, 20)))


def test_a_mask_over_phase_loses_the_padding(write: Write, kspace: NDArray[np.complex64]) -> None:
    """Test files keep lines 'measured' that the format pads with zeros beyond the last acquired one."""
    lines = np.arange(20) % 2 == 0
    acquired = slice(20 // 2 - 7, 20 // 2 - 7 + 12 + 1)  # 13 lines, the centre being number 7
    kept = np.zeros(20, bool)
    kept[acquired] = lines[acquired]
    data = np.where(kept, kspace, 0)
    with open_kspace(write("fastmri", kspace=data, mask=lines, header=header(last=12, center=7))) as file:
        assert file.mask is not None
        np.testing.assert_array_equal(file.mask, np.broadcast_to(kept, (16, 20)))
        assert any(f"{int(lines.sum() - kept.sum())} lines that the mask keeps" in w for w in file.warnings)
        np.testing.assert_array_equal(np.abs(file.read(0)).max(axis=(0, 1)) > 0, kept)


def test_single_coil_files_have_no_coil_axis(write: Write, kspace: NDArray[np.complex64]) -> None:
    """(slice, read-out, phase) of the single-coil challenge."""
    with open_kspace(write("fastmri", kspace=kspace[:, 1], header=header())) as file:
        assert (file.slices, file.coils, file.shape) == (2, 1, (16, 20))
        single = file.read(1)
    with open_kspace(write("fastmri", name="multi", kspace=kspace, header=header())) as file:
        np.testing.assert_array_equal(single[0], file.read(1)[1])


def test_voxel_sizes_are_known_and_the_place_is_not(write: Write, kspace: NDArray[np.complex64]) -> None:
    """The header's field of view gives millimetres; that the orientation is a guess is said."""
    with open_kspace(write("fastmri", kspace=kspace, header=header())) as file:
        assert file.affine is not None
        sizes = np.linalg.norm(file.affine[:3, :3], axis=0)
        np.testing.assert_allclose(sizes, [275 / 20, 440 / 32, 5.0])
        np.testing.assert_allclose(file.affine @ [10, 8, 0.5, 1], [0, 0, 0, 1], atol=1e-9)
        assert any("orientation and origin are a guess" in w for w in file.warnings)
        assert not any("a" * 64 in w for w in file.warnings)


def test_maps_of_the_file_are_used(write: Write, kspace: NDArray[np.complex64]) -> None:
    """``s_maps`` beside k-space, at the size after the cut."""
    maps = kspace[:, :, :16]
    with open_kspace(write("fastmri", kspace=kspace, header=header(), s_maps=maps)) as file:
        np.testing.assert_array_equal(file.maps, maps)
    with pytest.raises(InputError, match="maps of 32 x 20 do not fit k-space of 16 x 20"):
        open_kspace(write("fastmri", name="other", kspace=kspace, header=header(), s_maps=kspace))


def test_a_header_of_other_data_is_not_used(write: Write, kspace: NDArray[np.complex64]) -> None:
    """Data that were cropped already must not be cropped again; without a header nothing is."""
    with open_kspace(write("fastmri", kspace=kspace[:, :, 8:24], header=header())) as file:
        assert file.shape == (16, 20) and any("it is not used" in w for w in file.warnings)
    with open_kspace(write("fastmri", name="none", kspace=kspace)) as file:
        assert file.shape == (32, 20) and any("no ismrmrd_header" in w for w in file.warnings)


@pytest.mark.parametrize(
    ("xml", "match"),
    [
        ("<ismrmrdHeader>", "cannot be understood"),
        ("<ismrmrdHeader></ismrmrdHeader>", "no encoding"),
        (str(header()).replace("<x>32</x>", "<x>-5</x>"), "matrix of -5"),
        (str(header()).replace("<x>32</x>", "<x>9999999999</x>"), "matrix of 9999999999"),
        (str(header()).replace("<x>32</x>", "<x>many</x>"), "cannot be understood"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + str(header()), "defines entities"),
        ("x" * (1 << 23), "too long|at most"),
    ],
)
def test_headers_that_mean_nothing(xml: str, match: str, write: Write, kspace: NDArray[np.complex64]) -> None:
    """A damaged or hostile header ends in one line."""
    with pytest.raises(InputError, match=match):
        open_kspace(write("fastmri", kspace=kspace, header=np.array(xml)))


def test_other_hdf5_files_say_what_they_hold(write: Write) -> None:
    """A file of reconstructions, or of another program, is named for what it is."""
    path = write("fastmri", reconstruction=np.zeros((2, 8, 8)), volume=np.zeros(3))
    with pytest.raises(InputError, match="neither fastMRI's layout .* but reconstruction, volume; give raw data"):
        open_kspace(path)
