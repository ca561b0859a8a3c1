"""ISMRMRD files by the format's own Python package: where lines go, what is left out, and where the image lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ismrmrd import xsd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from voxprior.errors import InputError
from voxprior.io.kspace import KspaceFile, open_kspace

Data = NDArray[np.complex64]
COILS, READ, LINES = 2, 16, 12


@dataclass
class Line:
    """A line as a scanner hands it over."""

    data: NDArray[Any]
    step1: int = 0
    step2: int = 0
    center: int = READ // 2
    flags: tuple[int, ...] = ()
    counters: tuple[tuple[str, int], ...] = ()
    fields: tuple[tuple[str, Any], ...] = ()


def header(
    encoded: tuple[int, int, int] = (READ, LINES, 1),
    fov: tuple[float, float, float] = (320.0, 240.0, 5.0),
    shown: tuple[int, int, int] | None = None,
    shown_fov: tuple[float, float, float] | None = None,
    center: int | None = LINES // 2,
    trajectory: str = "cartesian",
    calibration: str | None = None,
    bandwidth: float | None = None,
) -> xsd.ismrmrdHeader:
    def space(matrix: tuple[int, int, int], size: tuple[float, float, float]) -> xsd.encodingSpaceType:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(**dict(zip("xyz", matrix, strict=True))),
            fieldOfView_mm=xsd.fieldOfViewMm(**dict(zip("xyz", size, strict=True))),
        )

    limits = xsd.encodingLimitsType()
    if center is not None:
        limits.kspace_encoding_step_1 = xsd.limitType(minimum=0, maximum=encoded[1] - 1, center=center)
    parallel = None
    if calibration is not None:
        factor = xsd.accelerationFactorType(kspace_encoding_step_1=2, kspace_encoding_step_2=1)
        mode = xsd.calibrationModeType(calibration)
        parallel = xsd.parallelImagingType(accelerationFactor=factor, calibrationMode=mode)
    encoding = xsd.encodingType(
        encodedSpace=space(encoded, fov),
        reconSpace=space(shown or encoded, shown_fov or fov),
        encodingLimits=limits,
        trajectory=xsd.trajectoryType(trajectory),
        parallelImaging=parallel,
    )
    system = xsd.acquisitionSystemInformationType(receiverChannels=COILS, relativeReceiverNoiseBandwidth=bandwidth)
    conditions = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=128000000)
    return xsd.ismrmrdHeader(
        acquisitionSystemInformation=system, experimentalConditions=conditions, encoding=[encoding]
    )


def save(path: Path, lines: Iterable[Line], head: xsd.ismrmrdHeader) -> Path:
    acquisitions = []
    for line in lines:
        acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(line.data, dtype=np.complex64))
        acquisition.center_sample = line.center
        acquisition.idx.kspace_encode_step_1, acquisition.idx.kspace_encode_step_2 = line.step1, line.step2
        acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = np.eye(3)
        for name, number in line.counters:
            setattr(acquisition.idx, name, number)
        for name, value in line.fields:
            if isinstance(value, tuple | np.ndarray):
                getattr(acquisition, name)[:] = value
            else:
                setattr(acquisition, name, value)
        for flag in line.flags:
            acquisition.set_flag(flag)
        acquisitions.append(acquisition)
    with ismrmrd.File(path, "w") as file:
        group = file["dataset"]
        group.header, group.acquisitions = head, acquisitions
    return path


@pytest.fixture
def kspace() -> Data:
    """Two coils, 16 x 12."""
    rng = np.random.default_rng(5)
    return (rng.standard_normal((COILS, READ, LINES)) + 1j * rng.standard_normal((COILS, READ, LINES))).astype("c8")


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., KspaceFile]:
    def loader(lines: Iterable[Line], **settings: Any) -> KspaceFile:
        return open_kspace(save(tmp_path / "scan.h5", lines, header(**settings)))

    return loader


Load = Callable[..., KspaceFile]


def lines_of(kspace: Data, **more: Any) -> list[Line]:
    return [Line(kspace[:, :, i], step1=i, **more) for i in range(kspace.shape[2])]


def test_lines_go_where_their_counters_say(load: Load, kspace: Data) -> None:
    """Lines in any order of time; y is the read-out, x the phase encoding."""
    lines = lines_of(kspace)
    with load([lines[i] for i in np.random.default_rng(1).permutation(LINES)]) as file:
        assert (file.kind, file.slices, file.coils, file.shape) == ("ismrmrd", 1, COILS, (READ, LINES))
        assert file.mask is not None and file.mask.all() and file.noise is None
        np.testing.assert_array_equal(file.read(0), kspace)


@pytest.mark.parametrize("center", [None, 4, 6])
def test_the_centre_of_the_header_moves_the_lines(center: int | None, load: Load, kspace: Data) -> None:
    """Counters begin at 0 whatever part of k-space was measured: the header says which line is the middle."""
    shift = LINES // 2 - (LINES // 2 if center is None else center)
    with load(lines_of(kspace)[: LINES - shift], center=center) as file:
        np.testing.assert_array_equal(file.read(0)[:, :, shift:], kspace[:, :, : LINES - shift])
        assert file.mask is not None and not file.mask[:, :shift].any() and file.mask[:, shift:].all()


def test_slices_are_sorted_by_their_place(load: Load, kspace: Data) -> None:
    """Interleaved slices get their order in space, not that of their numbers; only one is read at a time."""
    places = {0: 10.0, 1: -2.0, 2: 4.0}
    lines = [
        Line((s + 1) * kspace[:, :, i], step1=i, counters=(("slice", s),), fields=(("position", (0, 0, z)),))
        for i in range(LINES)
        for s, z in places.items()
    ]
    with load(lines) as file:
        assert file.slices == 3 and file.affine is not None
        for index, factor in enumerate((2, 3, 1)):
            np.testing.assert_array_equal(file.read(index), factor * kspace)
        np.testing.assert_allclose(file.affine[:3, 2], [0, 0, 6], atol=1e-5)
        np.testing.assert_allclose(file.affine @ [LINES // 2, READ // 2, 0, 1], [0, 0, -2, 1], atol=1e-5)


def test_uneven_and_coinciding_slices_are_said(load: Load, kspace: Data) -> None:
    """The affine of an uneven stack is a compromise, that of a stack without positions a guess."""

    def stack(places: tuple[float, ...]) -> list[Line]:
        return [
            Line(kspace[:, :, i], step1=i, counters=(("slice", s),), fields=(("position", (0, 0, z)),))
            for s, z in enumerate(places)
            for i in range(LINES)
        ]

    with load(stack((0.0, 4.0, 9.0))) as file:
        assert any("slices are 4 to 5 mm apart" in w for w in file.warnings)
    Path(file.path).unlink()
    with load(stack((0.0, 0.0, 0.0))) as file:
        assert any("at one place: taken as 5 mm apart" in w for w in file.warnings)
        assert file.affine is not None and np.isclose(np.linalg.norm(file.affine[:3, 2]), 5)


def test_a_second_phase_encoding_makes_a_volume(load: Load) -> None:
    """(z, y, x): z the second phase encoding, whose centre is the header's or the middle."""
    rng = np.random.default_rng(2)
    volume = (rng.standard_normal((COILS, 4, READ, LINES)) + 1j).astype("c8")
    lines = [Line(volume[:, z, :, x], step1=x, step2=z) for z in range(4) for x in range(LINES) if (x + z) % 3]
    with load(lines, encoded=(READ, LINES, 4), fov=(320.0, 240.0, 8.0)) as file:
        assert (file.slices, file.shape) == (1, (4, READ, LINES))
        kept = np.add.outer(np.arange(4), np.arange(LINES)) % 3 > 0
        np.testing.assert_array_equal(file.mask, np.broadcast_to(kept[:, None], file.shape))
        np.testing.assert_array_equal(file.read(0), np.where(kept[:, None], volume, 0))
        assert file.affine is not None
        np.testing.assert_allclose(np.linalg.norm(file.affine[:3, :3], axis=0), [20, 20, 2], rtol=1e-6)


def test_averages_are_averaged_and_the_noise_with_them(load: Load, kspace: Data) -> None:
    """n averages lower the noise by sqrt n, a longer dwell time and the receiver's filter change it too."""
    rng = np.random.default_rng(9)
    noise = (rng.standard_normal((COILS, 4000)) + 1j * rng.standard_normal((COILS, 4000))) * 3
    lines = [Line(noise, flags=(ismrmrd.ACQ_IS_NOISE_MEASUREMENT,), fields=(("sample_time_us", 2.0),))]
    for average in range(4):
        lines += lines_of(
            (average + 1) * kspace, counters=(("average", average),), fields=(("sample_time_us", 8.0),)
        )
    with load(lines, bandwidth=0.8) as file:
        np.testing.assert_allclose(file.read(0), 2.5 * kspace, rtol=1e-6)
        assert file.noise is not None and file.noise.shape == (COILS, 4000)
    variance = 9 * (2 / 8) / 4 / 0.8
    ratio = float((np.abs(file.noise) ** 2).sum()) / variance
    low, high = chi2.ppf([5e-5, 1 - 5e-5], 2 * COILS * 4000)
    assert low < ratio < high


@pytest.mark.parametrize("counter", ["contrast", "phase", "repetition", "set"])
def test_of_several_images_the_first_is_read(counter: str, load: Load, kspace: Data) -> None:
    """They must not be mixed; a warning lists them."""
    lines = [line for n in (2, 5, 7) for line in lines_of(n * kspace, counters=((counter, n),))]
    with load(lines) as file:
        np.testing.assert_array_equal(file.read(0), 2 * kspace)
        assert f"3 {counter}s (2, 5, 7): {counter} 2 is read" in file.warnings


@pytest.mark.parametrize(
    "flag",
    [
        "ACQ_IS_NAVIGATION_DATA",
        "ACQ_IS_PHASECORR_DATA",
        "ACQ_IS_HPFEEDBACK_DATA",
        "ACQ_IS_DUMMYSCAN_DATA",
        "ACQ_IS_RTFEEDBACK_DATA",
        "ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA",
        "ACQ_IS_PHASE_STABILIZATION_REFERENCE",
        "ACQ_IS_PHASE_STABILIZATION",
    ],
)
def test_lines_that_are_no_image_are_left_out(flag: str, load: Load, kspace: Data) -> None:
    """A navigator at the place of a line would be averaged into it."""
    other = Line(100 * kspace[:, :, 3], step1=3, flags=(getattr(ismrmrd, flag),))
    with load([other, *lines_of(kspace)]) as file:
        np.testing.assert_array_equal(file.read(0), kspace)
        assert any(w.startswith("1 ") and w.endswith("lines are left out") for w in file.warnings)


@pytest.mark.parametrize("mode", ["embedded", "interleaved", "separate", "external", "other", None])
def test_calibration_lines_belong_to_the_image_only_where_they_are_part_of_it(
    mode: str | None, load: Load, kspace: Data
) -> None:
    """A separate calibration scan has another contrast; embedded lines are measurements like any other."""
    lines = [line for line in lines_of(kspace) if line.step1 % 2 == 0]
    lines[3].flags = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING,)
    lines.append(Line(kspace[:, :, 5], step1=5, flags=(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)))
    with load(lines, calibration=mode) as file:
        used = mode in ("embedded", "interleaved")
        kept = (np.arange(LINES) % 2 == 0) | (used & (np.arange(LINES) == 5))
        np.testing.assert_array_equal(file.read(0), np.where(kept, kspace, 0))
        assert any("calibration alone" in w for w in file.warnings) != used


@pytest.mark.parametrize("back", [False, True])
def test_asymmetric_echoes_and_discarded_samples(back: bool, load: Load, kspace: Data) -> None:
    """Samples go to where ``center_sample`` says, forwards or backwards; what was not measured stays zero."""
    extra = np.full((COILS, 2), 99)
    lines = []
    for i in range(LINES):
        part = np.concatenate([extra, kspace[:, 5:, i], extra[:, :1]], axis=1)  # 2 to discard, 11 samples, 1 to discard
        center = 2 + READ // 2 - 5
        fields: tuple[tuple[str, Any], ...] = (("discard_pre", 2), ("discard_post", 1))
        flags: tuple[int, ...] = ()
        if back:
            part, center = part[:, ::-1], part.shape[1] - 1 - center
            fields, flags = (("discard_pre", 1), ("discard_post", 2)), (ismrmrd.ACQ_IS_REVERSE,)
        lines.append(Line(part, step1=i, center=center, flags=flags, fields=fields))
    with load(lines) as file:
        expected = kspace.copy()
        expected[:, :5] = 0
        np.testing.assert_array_equal(file.read(0), expected)
        assert file.mask is not None and not file.mask[:5].any() and file.mask[5:].all()
        assert "asymmetric echo: read-out positions 5 to 15 of 16 were measured" in file.warnings


def test_partial_fourier_is_said_and_undersampling_is_not_taken_for_it(load: Load, kspace: Data) -> None:
    """Lines that end early on one side call for more than zero-filling; every third line does not."""
    with load(lines_of(kspace)[4:]) as file:
        assert "partial Fourier: lines 4 to 11 of 12 were measured" in file.warnings
    Path(file.path).unlink()
    with load(lines_of(kspace)[2::3]) as file:
        assert not file.warnings


@pytest.mark.parametrize(("encoded", "shown"), [(32, 16), (31, 15), (32, 20)])
@pytest.mark.parametrize("first", [0, 6])
def test_oversampling_goes_and_the_mask_follows(encoded: int, shown: int, first: int, load: Load) -> None:
    """After the cut, positions of k-space are further apart; those that were not measured are exact zeros."""
    rng = np.random.default_rng(4)
    whole = rng.standard_normal((COILS, encoded, LINES)) + 1j * rng.standard_normal((COILS, encoded, LINES))
    measured = whole.copy()
    measured[:, :first] = 0
    lines = [Line(measured[:, first:, i], step1=i, center=encoded // 2 - first) for i in range(LINES)]
    sizes = {"encoded": (encoded, LINES, 1), "fov": (10.0 * encoded, 240.0, 5.0), "shown": (shown, LINES, 1)}
    with load(lines, **sizes, shown_fov=(10.0 * shown, 240.0, 5.0)) as file:
        data = file.read(0)
        assert file.shape == (shown, LINES) and file.mask is not None
    k, j = np.arange(encoded) - encoded // 2, np.arange(shown) - shown // 2
    image = np.exp(2j * np.pi * np.outer(j, k) / encoded) / np.sqrt(encoded) @ measured
    expected = np.exp(-2j * np.pi * np.outer(j, j) / shown) / np.sqrt(shown) @ image
    kept = j * encoded / shown >= first - encoded // 2 if first else np.ones(shown, bool)
    np.testing.assert_array_equal(file.mask, np.broadcast_to(kept[:, None], (shown, LINES)))
    np.testing.assert_allclose(data, np.where(kept[:, None], expected, 0), atol=1e-5)
    assert not data[:, ~kept].any()


BLOB = 25.0
"""Standard deviation of the phantom of the test below, mm."""


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    quaternion=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(v * v for v in q) > 0.1),
    position=st.tuples(*[st.floats(-60, 60)] * 3),
    offset=st.tuples(*[st.floats(-20, 20)] * 2),
    volume=st.booleans(),
    size=st.sampled_from([(24, 18), (25, 19)]),
)
def test_a_point_of_the_patient_is_found_where_it_was(
    quaternion: tuple[float, ...],
    position: tuple[float, ...],
    offset: tuple[float, float],
    volume: bool,
    size: tuple[int, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A Gaussian at a known point (LPS), measured by the signal equation, lies there (RAS) by the affine.

    Guards orientation, signs, the half voxel and the order of axes together, for 2-D and 3-D, oblique, with read-out
    oversampling; the centre of mass of the image is compared, to a hundredth of a voxel.
    """
    frame = Rotation.from_quat(quaternion).as_matrix()  # columns: read, phase, slice
    (read, lines), fov, depth = size, (320.0, 250.0, 250.0), 12
    point = np.array(position) + frame @ [*offset, 6.0]

    def signal(k: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Of k (point, 3), cycles/mm along the axes of the frame, about the position."""
        r = (point - position) @ frame
        return np.exp(-2 * (np.pi * BLOB) ** 2 * (k**2).sum(axis=1) - 2j * np.pi * k @ r)

    fields = tuple(
        zip(("position", "read_dir", "phase_dir", "slice_dir"), (np.array(position), *frame.T), strict=True)
    )
    rows = []
    kx = (np.arange(2 * read) - read) / (2 * fov[0])
    for step2 in range(depth if volume else 1):
        for step1 in range(lines):
            k = np.zeros((2 * read, 3))
            k[:, 0], k[:, 1] = kx, (step1 - lines // 2) / fov[1]
            k[:, 2] = (step2 - depth // 2) / fov[2] if volume else 0
            rows.append(Line(signal(k)[None], step1, step2, center=read, fields=fields))
    count = depth if volume else 1
    head = header(
        encoded=(2 * read, lines, count),
        fov=(2 * fov[0], fov[1], fov[2]),
        shown=(read, lines, count),
        shown_fov=fov,
        center=lines // 2,
    )
    with open_kspace(save(tmp_path_factory.mktemp("scan") / "scan.h5", rows, head)) as file:
        data, affine = file.read(0)[0], file.affine
    assert affine is not None
    axes = tuple(range(data.ndim))
    image = np.abs(np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(data), axes=axes)))
    weights = image**2 / (image**2).sum()
    middle = [float((weights * index).sum()) for index in np.indices(image.shape)[::-1]]
    found = affine @ [*middle, *([] if volume else [0.0]), 1.0]
    expected = point if volume else point - frame[:, 2] * 6.0
    np.testing.assert_allclose(found[:3], expected * [-1, -1, 1], atol=0.1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"trajectory": "radial"}, "a radial trajectory; only Cartesian"),
        ({"encoded": (READ, 8, 1), "center": 4}, "first phase encodings from 0 to 11 do not fit"),
        ({"encoded": (READ, LINES, 1), "center": 2}, "do not fit the encoded matrix of 12"),
        ({"encoded": (12, LINES, 1)}, "read-outs from -2 to 14 do not fit"),
    ],
)
def test_lines_that_do_not_fit_the_header(change: dict[str, Any], match: str, load: Load, kspace: Data) -> None:
    """A wrong header is not repaired by guessing."""
    with pytest.raises(InputError, match=match):
        load(lines_of(kspace), **change)


def test_files_without_an_image(load: Load, kspace: Data) -> None:
    """Noise alone, and lines of different coils."""
    noise = lines_of(kspace, flags=(ismrmrd.ACQ_IS_NOISE_MEASUREMENT,))
    with pytest.raises(InputError, match="no lines of an image"):
        load(noise)


def test_coils_that_change(load: Load, kspace: Data) -> None:
    """Lines of other coils cannot be put together; a noise scan of other coils is left out."""
    lines = lines_of(kspace)
    lines[4].data = lines[4].data[:1]
    with pytest.raises(InputError, match="lines have 1, 2 coils"):
        load(lines)


def test_a_noise_scan_of_other_coils_is_left_out(load: Load, kspace: Data) -> None:
    """It says nothing about these coils."""
    noise = Line(kspace[:1, :, 0], flags=(ismrmrd.ACQ_IS_NOISE_MEASUREMENT,))
    with load([noise, *lines_of(kspace)]) as file:
        assert file.noise is None
        assert "the noise scan has 1 coils, the image 2: it is not used" in file.warnings


def test_slices_that_were_sampled_differently(load: Load, kspace: Data) -> None:
    """Each slice then tells by its zeros what was measured."""
    lines = [
        Line(kspace[:, :, i], step1=i, counters=(("slice", s),)) for s in range(2) for i in range(s, LINES, 2)
    ]
    with load(lines) as file:
        assert file.mask is None and any("sampled differently" in w for w in file.warnings)
        assert np.abs(file.read(1)).max(axis=(0, 1)).astype(bool).tolist() == [False, True] * (LINES // 2)


def test_the_field_of_view_says_what_is_oversampling(load: Load, kspace: Data) -> None:
    """A scanner that interpolates shows as large a matrix as it encoded, of half the field of view."""
    with load(lines_of(kspace), shown_fov=(160.0, 240.0, 5.0)) as file:
        assert file.shape == (READ // 2, LINES)


def test_headers_without_size_or_direction(load: Load, kspace: Data) -> None:
    """Zero fields of view and directions are common in simulated files; where the image lies is then not invented."""
    with load(lines_of(kspace), fov=(0.0, 0.0, 0.0)) as file:
        assert file.affine is None and any("no field of view" in w for w in file.warnings)
        np.testing.assert_array_equal(file.read(0), kspace)
    Path(file.path).unlink()
    with load(lines_of(kspace, fields=(("read_dir", (0, 0, 0)),))) as file:
        assert file.affine is not None and any("are a guess" in w for w in file.warnings)
        np.testing.assert_allclose(np.linalg.norm(file.affine[:3, :3], axis=0), [20, 20, 5])


@pytest.mark.parametrize("storage", [{"chunks": (1,)}, {"chunks": (5,)}, {"chunks": (4,), "compression": "gzip"}, {}])
def test_heads_are_read_from_every_layout(storage: dict[str, Any], load: Load, kspace: Data) -> None:
    """Heads come from raw chunks where the file has such; other layouts of HDF5 hold the same lines."""
    with load(lines_of(kspace)) as file:
        path = file.path
    copy = path.with_name("copy.h5")
    with h5py.File(path) as source, h5py.File(copy, "w") as target:
        lines = source["dataset/data"]
        target["dataset/xml"] = source["dataset/xml"][:]
        target.create_dataset("dataset/data", data=lines[:], dtype=lines.dtype, **storage)
    with open_kspace(copy) as file:
        np.testing.assert_array_equal(file.read(0), kspace)


def test_opening_reads_no_samples(load: Load) -> None:
    """A scan of 20 GB opens in seconds: what is read from the disk is counted, by the system."""
    count, samples = 240, 16_000
    noise = np.ones((1, samples), np.complex64)
    lines = [Line(noise, step1=i % LINES, center=samples // 2) for i in range(count)]
    with load(lines, encoded=(samples, LINES, 1), center=None) as file:
        path = file.path
    assert path.stat().st_size > count * samples * 8
    counters = Path("/proc/self/io")
    if not counters.exists():
        pytest.skip("this system does not count what a process reads")
    before = int(counters.read_text().split()[1])
    with open_kspace(path) as file:
        assert int(counters.read_text().split()[1]) - before < 0.1 * path.stat().st_size
        assert file.slices == 1
