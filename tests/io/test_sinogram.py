"""Sinograms in files: what is read, what is assumed, and what is refused; and the proof that a volume explains one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.io.certificate import verify
from voxprior.io.outputs import sidecar_path, write_json, write_volume
from voxprior.io.projection_certificate import projection_certificate, projection_misfit
from voxprior.io.sinogram import MU_WATER, Sinogram, read_sinogram, to_hu, to_mu, write_sinogram
from voxprior.operators.projection_matrix import ProjectionGeometry, build_matrix
from voxprior.volume import Volume

SHAPE = (3, 4, 10)
GOOD: dict[str, Any] = {
    "sinogram": np.linspace(0, 3, 120, dtype=np.float32).reshape(SHAPE),
    "angles_deg": [0.0, 45.0, 90.0, 135.0],
    "pixel_mm": 2.0,
}


def save(path: Path, **change: Any) -> Path:
    """GOOD with ``change``; None leaves a key out."""
    np.savez(path, **{k: v for k, v in {**GOOD, **change}.items() if v is not None})
    return path


def test_three_keys_are_enough(tmp_path: Path) -> None:
    """Guards what is assumed: the image that all views see, bins as wide as pixels, axial slices about the origin."""
    s = read_sinogram(save(tmp_path / "s.npz"))
    assert s.shape == (10, 10, 3) and s.data.dtype == np.float32
    assert s.geometry == ProjectionGeometry((10, 10), (2, 2), (0, 45, 90, 135), 10, 2.0)
    assert s.photons is None and s.noise() is None and s.mu_water is None and s.source == "s.npz"
    assert "no place in a patient" in s.warnings[0]
    middle = s.affine @ [4.5, 4.5, 1.0, 1]
    np.testing.assert_allclose(middle, [0, 0, 0, 1], atol=1e-12)
    # The next row lies behind, the next column to the left, the next slice above.
    np.testing.assert_allclose(s.affine[:3, :3], [[0, -2, 0], [-2, 0, 0], [0, 0, 2]])


def test_one_slice_of_a_fan(tmp_path: Path) -> None:
    """A sinogram (view, bin) is one slice; a fan's bins are as wide on the detector as pixels in the middle."""
    fan = {"beam": "fan-flat", "source_mm": 100, "detector_mm": 150, "slice_mm": 5.0}
    s = read_sinogram(save(tmp_path / "s.npz", sinogram=GOOD["sinogram"][0], **fan))
    assert s.data.shape == (1, 4, 10)
    assert s.geometry.bin_width == pytest.approx(3.0)
    assert s.geometry.shape == (9, 9)  # 200 sin(atan(15 / 150)) = 19.9 mm
    assert s.affine[2, 2] == 5.0


def test_noise_is_that_of_the_logarithm_of_counts(tmp_path: Path) -> None:
    """Against many draws: -log(Poisson / N) has the std sqrt(exp(p) / N); photons may differ from bin to bin."""
    rng = np.random.default_rng(0)
    photons = np.linspace(3e3, 1e5, 10)
    s = read_sinogram(save(tmp_path / "s.npz", photons=photons))
    noise = s.noise()
    assert noise is not None and noise.shape == SHAPE
    for where in ((0, 0, 0), (1, 2, 5), (2, 3, 9)):
        p, n = float(s.data[where]), photons[where[2]]
        drawn = -np.log(rng.poisson(n * np.exp(-p), 20_000) / n)
        assert noise[where] == pytest.approx(drawn.std(), rel=0.03)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Every number survives, and equal sinograms are equal files."""
    g = ProjectionGeometry((6, 7), (1.5, 1.2), (3.0, 50.0), 9, 1.7, 0.4, "fan-arc", 60.0, 90.0)
    affine = np.array([[1.5, 0, 0, 4], [0, 0, 1.2, 5], [0, 3.0, 0, 6], [0, 0, 0, 1]])
    data = np.random.default_rng(0).random((2, 2, 9), dtype=np.float32)
    s = Sinogram(data, g, affine, 1, np.array(1e4), 0.02)
    for name in ("a.npz", "b.npz"):
        write_sinogram(tmp_path / name, s)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = read_sinogram(tmp_path / "a.npz")
    assert back.geometry == g and back.axis == 1 and back.mu_water == 0.02 and back.shape == (6, 2, 7)
    np.testing.assert_array_equal(back.data, data)
    np.testing.assert_array_equal(back.affine, affine)
    assert float(np.asarray(back.photons)) == 1e4 and not back.warnings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sinogram": None}, "holds no sinogram"),
        ({"angles_deg": None, "pixel_mm": None}, "no angles_deg and no pixel_mm"),
        ({"anlges": 3.0}, "anlges means nothing"),
        ({"sinogram": np.zeros(SHAPE) + 1j}, "not real numbers"),
        ({"sinogram": np.array(["a"])}, "not real numbers"),
        ({"sinogram": np.zeros((2, 2, 2, 2))}, r"not \(slice, view, bin\)"),
        ({"sinogram": np.zeros((0, 4, 10))}, r"not \(slice, view, bin\)"),
        ({"sinogram": np.full(SHAPE, np.nan)}, "120 line integrals are not finite"),
        ({"sinogram": np.zeros(SHAPE)}, "all line integrals are equal"),
        ({"angles_deg": [0.0, 1.0]}, "2 angles for 4 views"),
        ({"angles_deg": [0.0, 1.0, np.nan, 3.0]}, "finite number of degrees"),
        ({"pixel_mm": 0.0}, "pixel_mm"),
        ({"pixel_mm": [1.0, 2.0, 3.0]}, "pixel_mm"),
        ({"bin_mm": -1.0}, "bin_mm -1 must be above 0"),
        ({"bin_mm": [1.0, 2.0]}, "one finite number"),
        ({"shape": [10]}, "numbers of rows and columns"),
        ({"shape": [100_000, 100_000]}, "numbers of rows and columns"),
        ({"beam": "cone"}, "beam 'cone' is unknown"),
        ({"beam": 3.0}, "beam of type float64"),
        ({"beam": "fan-flat"}, "needs the distances"),
        ({"source_mm": 100.0, "detector_mm": 100.0}, "parallel beam has no source"),
        ({"photons": 0.0}, "photons must be above 0"),
        ({"photons": [1e4, 1e4]}, "do not fit"),
        ({"mu_water": -0.02}, "mu_water"),
        ({"axis": 3}, "none of 0, 1, 2"),
        ({"affine": np.zeros((4, 4))}, "no invertible 4 x 4"),
        ({"affine": np.eye(4)}, "correct one"),
    ],
)
def test_bad_sinograms_are_told_in_one_line(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Guards against a silent misreading: every slip is named with the file."""
    path = save(tmp_path / "s.npz", **change)
    with pytest.raises(InputError, match=message) as told:
        read_sinogram(path)
    assert str(told.value).startswith(str(path)) and "\n" not in str(told.value)


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    """Missing, misnamed, cut, not an archive, and pickled objects."""
    with pytest.raises(InputError, match="no such file"):
        read_sinogram(tmp_path / "no.npz")
    (tmp_path / "s.txt").write_text("x")
    with pytest.raises(InputError, match=r"must end in \.npz"):
        read_sinogram(tmp_path / "s.txt")
    path = save(tmp_path / "s.npz")
    whole = path.read_bytes()
    for content in (b"", b"no archive", whole[:-100]):
        path.write_bytes(content)
        with pytest.raises(InputError):
            read_sinogram(path)
    np.savez(path, **{**GOOD, "sinogram": np.array([{}], dtype=object)})
    with pytest.raises(InputError, match="never loaded"):
        read_sinogram(path)


def test_counts_in_the_place_of_line_integrals_are_doubted(tmp_path: Path) -> None:
    """A frequent slip: counts, or lengths times HU, are read with a warning that says what is wanted."""
    s = read_sinogram(save(tmp_path / "s.npz", sinogram=GOOD["sinogram"] * 1000))
    assert "-log(counts / photons)" in s.warnings[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sinogram": -1 - np.arange(24.0).reshape(1, 4, 6) / 100}, "below zero on average"),
        ({"angles_deg": np.array([30.0, 210, 30, 210])}, "the same direction"),
    ],
)
def test_what_tells_nothing_is_doubted(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Views that cannot be, or that say nothing of depth, would give an image without a word."""
    s = read_sinogram(save(tmp_path / "s.npz", **change))
    assert message in s.warnings[0] and len(s.warnings) == 2


def test_hounsfield_units() -> None:
    """Water is 0, vacuum -1000, and both ways are inverse to each other."""
    np.testing.assert_allclose(to_hu(np.array([0, MU_WATER, 2 * MU_WATER]), MU_WATER), [-1000, 0, 1000], atol=1e-3)
    hu = np.linspace(-1000, 3000, 9)
    np.testing.assert_allclose(to_hu(to_mu(hu, 0.02), 0.02), hu, atol=1e-3)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A volume with its sinogram, a little off, and a sidecar that holds the certificate."""
    rng = np.random.default_rng(0)
    g = ProjectionGeometry((8, 9), (2.0, 2.0), tuple(np.arange(6) * 30.0), 13, 2.0)
    affine = np.diag([2.0, 3.0, 2.0, 1])
    hu = rng.uniform(-900, 900, (8, 3, 9)).astype(np.float32)
    views = build_matrix(g) @ to_mu(np.moveaxis(hu, 1, 0).reshape(3, -1).T, MU_WATER)
    data = views.T.reshape(3, 6, 13) * (1 + 0.01 * rng.standard_normal((3, 6, 13)))
    s = Sinogram(data.astype(np.float32), g, affine, 1, np.array(1e4))
    write_sinogram(tmp_path / "s.npz", s)
    image, target = Volume(hu, affine), tmp_path / "out.nii.gz"
    write_volume(target, image)
    certificate = projection_certificate(s, image, MU_WATER, tmp_path / "s.npz", target, 0.01)
    write_json(sidecar_path(target), {"certificate": certificate})
    return target


def test_the_certificate_is_the_relative_misfit(result: Path) -> None:
    """Against a dense computation, and the same a slice and a view; everything that proves it is in there."""
    certificate = json.loads(sidecar_path(result).read_text())["certificate"]
    s = read_sinogram(result.parent / "s.npz")
    import nibabel

    hu = np.asarray(nibabel.load(result).dataobj, dtype=np.float64)
    a = build_matrix(s.geometry).toarray().astype(np.float64)
    missed = np.stack([a @ to_mu(hu[:, k], MU_WATER).ravel() for k in range(3)]).reshape(s.data.shape) - s.data
    assert certificate["residual"] == pytest.approx(np.linalg.norm(missed) / np.linalg.norm(s.data), rel=1e-5)
    for k in range(3):
        expected = np.linalg.norm(missed[k]) / np.linalg.norm(s.data[k])
        assert certificate["residual_per_slice"][k] == pytest.approx(expected, rel=1e-5)
    expected = np.linalg.norm(missed[:, 4]) / np.linalg.norm(s.data[:, 4])
    assert certificate["residual_per_view"][4] == pytest.approx(expected, rel=1e-5)
    assert certificate["operator"]["kind"] == "projections" and certificate["operator"]["mu_water"] == MU_WATER
    assert certificate["input"] == "s.npz" and certificate["noise_source"] == "given"


def test_verify_recomputes_the_proof(result: Path) -> None:
    """Guards `voxprior verify`: files as they were hold."""
    assert verify(result).ok


def _change_image(result: Path) -> None:
    import nibabel

    image = nibabel.load(result)
    data = np.asarray(image.dataobj).copy()
    data[3, 1, 4] += 300
    nibabel.save(nibabel.Nifti1Image(data, image.affine), result)


def _move_image(result: Path) -> None:
    import nibabel

    image = nibabel.load(result)
    moved = image.affine.copy()
    moved[0, 3] += 1
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), moved), result)


def _change_views(result: Path) -> None:
    s = read_sinogram(result.parent / "s.npz")
    (result.parent / "s.npz").unlink()
    write_sinogram(result.parent / "s.npz", replace(s, data=s.data * np.float32(1.01)))


def _turn_scanner(result: Path) -> None:
    s = read_sinogram(result.parent / "s.npz")
    (result.parent / "s.npz").unlink()
    turned = replace(s.geometry, angles=tuple(a + 1 for a in s.geometry.angles))
    write_sinogram(result.parent / "s.npz", replace(s, geometry=turned))


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        (_change_image, "output voxels"),
        (_move_image, "place in space"),
        (_change_views, "residual"),
        (_turn_scanner, "scanner"),
    ],
)
def test_verify_finds_what_was_altered(change: Any, fails: str, result: Path) -> None:
    """A changed voxel, place, view or angle does not pass."""
    change(result)
    outcome = verify(result)
    assert not outcome.ok
    assert any(not check.ok and check.name.startswith(fails) for check in outcome.checks)


@pytest.mark.parametrize("key", ["angles", "mu_water", "residual_per_view", "axis"])
def test_a_damaged_certificate_is_told(key: str, result: Path) -> None:
    """Guards against a crash, or a pass, on numbers that make no sense."""
    values = json.loads(sidecar_path(result).read_text())
    part = values["certificate"] if key.startswith("residual") else values["certificate"]["operator"]
    part[key] = "nonsense"
    sidecar_path(result).write_text(json.dumps(values))
    with pytest.raises(InputError, match="damaged"):
        verify(result)


def test_a_slice_of_air_has_a_residual(result: Path) -> None:
    """A slice without any signal is compared with the mean of the others, not divided by zero."""
    s = read_sinogram(result.parent / "s.npz")
    data = s.data.copy()
    data[0] = 0
    misfit = projection_misfit(np.full((8, 3, 9), -1000, np.float32), replace(s, data=data), MU_WATER)
    assert misfit.per_slice[0] == 0 and np.isfinite(misfit.per_slice).all()
