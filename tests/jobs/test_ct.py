"""X-ray views to HU: the noise of the rays, what is simulated, and what is told of a result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phantoms import HEAD, Ellipsoid, Phantom
from voxprior.diffusion.noise import generator
from voxprior.errors import InputError
from voxprior.io.sinogram import MU_WATER, Sinogram, to_mu
from voxprior.jobs.ct import reconstruct_views
from voxprior.jobs.ct_simulate import VACUUM, Fan, compare, scanner, simulate, truth_of
from voxprior.jobs.options import CtOptions
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.volume import Volume

MU = Phantom(tuple(Ellipsoid(e.centre, e.radii, e.value * MU_WATER / 150) for e in HEAD.parts))
"""Skull 67 HU, brain 67 HU, ventricles -533: closed form, and every ray of it."""
HEIGHTS = np.array([-3.0, 0.0, 3.0])


@pytest.fixture(scope="module")
def views() -> Sinogram:
    """Closed-form views of three slices, which are axis 1 of a volume."""
    g = ProjectionGeometry((44, 36), (1.0, 1.0), tuple(np.arange(30) * 6.0), 59, 1.0)
    affine = np.diag([1.0, 3.0, 1.0, 1.0])
    data = MU.views(g.angles, g.positions, HEIGHTS, g.bin_width).astype(np.float32)
    return Sinogram(data, g, affine, 1, warnings=("as read",))


def options(**values: object) -> CtOptions:
    return CtOptions(method="fbp", device="cpu", **values)  # type: ignore[arg-type]


def volume(shape: tuple[int, int, int] = (10, 12, 8), affine: np.ndarray | None = None) -> Volume:
    rng = np.random.default_rng(0)
    data = rng.uniform(-1000, 400, shape).astype(np.float32)
    return Volume(data, np.diag([2.0, 2.0, 5.0, 1.0]) if affine is None else affine)


def test_closed_form_views_become_hounsfield_units(views: Sinogram) -> None:
    """Guards the scale, the place of the slices, and the maps: brain 67 HU within 20, the air about it -1000."""
    found = reconstruct_views(views, options(), MU_WATER)
    assert found.image.data.shape == (44, 3, 36)
    brain, air = found.image.data[24:30, :, 17:19], found.image.data[:2, :, :2]
    assert brain.mean() == pytest.approx(200 / 3, abs=20)
    assert air.mean() == pytest.approx(-1000, abs=60)
    np.testing.assert_array_equal(found.image.affine, views.affine)
    assert found.std is None and found.interval is None and found.samples == ()
    np.testing.assert_array_equal(found.plain.data, found.image.data)
    assert found.warnings == ("as read",) and found.notes == {"filter": "hann"} and found.noise is None


def test_what_is_invented_does_not_show_in_the_views(views: Sinogram) -> None:
    """The map is the part of the result, in HU, that changes the measurement by next to nothing."""
    found = reconstruct_views(views, options(), MU_WATER)
    hidden = np.moveaxis(found.invented.data, 1, 0).astype(np.float64) * MU_WATER / 1000
    whole = to_mu(np.moveaxis(found.image.data, 1, 0), MU_WATER)
    from voxprior.operators.projection_matrix import build_matrix

    a = build_matrix(views.geometry).astype(np.float64)
    seen, all_of_it = (np.linalg.norm(a @ x.reshape(3, -1).T) for x in (hidden, whole))
    assert seen < 2e-3 * all_of_it
    assert np.abs(found.invented.data).max() > 1


def test_the_number_of_photons_sets_the_weights(views: Sinogram) -> None:
    """Rays through bone count less: with photons the fit is weighted, and it is told how noisy they are."""
    noisy = replace(views, photons=np.array(1e3))
    found = reconstruct_views(noisy, CtOptions(method="cgls", device="cpu"), MU_WATER)
    expected = np.sqrt(np.mean(np.exp(noisy.data.astype(np.float64)) / 1e3))
    assert found.noise == pytest.approx(expected, rel=1e-4)
    plain = reconstruct_views(views, CtOptions(method="cgls", device="cpu"), MU_WATER)
    assert found.notes["iterations"] < plain.notes["iterations"]  # it stops at the noise


@pytest.mark.parametrize("turned", [np.diag([2.0, 2.0, 5.0, 1]), np.diag([2.0, 2.0, 5.0, 1])[[0, 2, 1, 3]]])
def test_views_turn_about_the_axis_of_the_patient(turned: np.ndarray) -> None:
    """Slices are normal to the S-I direction, whichever array axis that is; --axis names another."""
    v = volume(affine=turned)
    g, axis = scanner(v, 12, 120.0)
    along = 2 if turned[2, 2] == 5 else 1
    assert axis == along
    plane = [a for a in range(3) if a != along]
    assert g.shape == tuple(v.data.shape[a] for a in plane)
    assert g.pixel == tuple(v.spacing[a] for a in plane)
    assert g.angles == tuple(10.0 * k for k in range(12))
    assert g.bins * g.bin_width >= np.hypot(*(n * p for n, p in zip(g.shape, g.pixel, strict=True)))
    assert scanner(v, 12, 120.0, "i")[1] == 0
    with pytest.raises(InputError, match="none of i, j, k, auto"):
        scanner(v, 12, 120.0, "z")


@pytest.mark.parametrize("beam", ["fan-flat", "fan-arc"])
def test_the_detector_of_a_fan_covers_the_slices(beam: str) -> None:
    """Every corner of a slice is seen at every angle, with bins that are pixels at the centre, and few to spare."""
    v = volume((10, 13, 8))
    g, axis = scanner(v, 360, 360.0, fan=Fan(beam, 60.0, 100.0))  # type: ignore[arg-type]
    assert (axis, g.beam, g.source, g.detector) == (2, beam, 60.0, 100.0)
    assert g.bin_width == pytest.approx(2 * 100 / 60)
    corner = np.hypot(10, 13)  # half the diagonal, mm
    half = np.arcsin(corner / 60)
    needed = 100 * (np.tan(half) if beam == "fan-flat" else half)
    assert needed <= g.reach <= needed + 1.5 * g.bin_width
    with pytest.raises(InputError, match="must be outside"):
        scanner(v, 4, 360.0, fan=Fan(beam, 16.0, 100.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("beam", ["fan-flat", "fan-arc"])
def test_views_of_a_fan_are_line_integrals(beam: str) -> None:
    """Guards where source and bins are: a disc is seen where its tangents meet the detector, its diameter in front."""
    radius, away = 20.0, 8.0
    i, j = np.indices((96, 96)) - 47.5
    disc = (i**2 + (j - away) ** 2 < radius**2)[..., None] * np.ones(2)
    v = Volume((1000 * disc - 1000).astype(np.float32), np.eye(4))
    g, axis = scanner(v, 4, 360.0, fan=Fan(beam, 200.0, 380.0))  # type: ignore[arg-type]
    views = simulate(v, g, axis, 0.02, None, generator(0, "photons")).data[0]
    positions = g.positions
    for angle, line in zip(np.deg2rad(g.angles), views, strict=True):
        source = 200 * np.array([np.sin(angle), -np.cos(angle)])
        to_centre = np.array([away, 0.0]) - source  # x along columns, y along rows
        across = to_centre @ [np.cos(angle), np.sin(angle)]
        depth = to_centre @ [-np.sin(angle), np.cos(angle)]
        middle, spread = np.arctan2(across, depth), np.arcsin(radius / np.hypot(across, depth))
        ends = np.array([middle - spread, middle + spread])
        edges = 380 * (np.tan(ends) if beam == "fan-flat" else ends)
        seen = positions[line > 0.02]
        np.testing.assert_allclose([seen.min(), seen.max()], edges, atol=1.5 * g.bin_width)
        assert line.max() == pytest.approx(2 * radius * 0.02, rel=0.02)


def test_photons_are_poisson_and_seeded() -> None:
    """Guards the noise: mean and spread are those of the logarithm of counts; the same seed draws the same."""
    v = Volume(np.full((6, 6, 40), 0, np.float32), np.eye(4))
    g, axis = scanner(v, 10, 180.0)
    exact = simulate(v, g, axis, MU_WATER, None, generator(0, "photons"))
    first, again, other = (simulate(v, g, axis, MU_WATER, 1e4, generator(seed, "photons")) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.data, again.data)
    assert not np.array_equal(first.data, other.data)
    scaled = (first.data - exact.data) / first.noise()
    assert abs(scaled.mean()) < 0.02 and scaled.std() == pytest.approx(1, abs=0.03)
    assert exact.photons is None and float(first.photons) == 1e4  # type: ignore[arg-type]


def test_rays_without_a_photon_stay_finite() -> None:
    """A ray that lets nothing through has the line integral of half a count, not infinity."""
    v = Volume(np.where(np.arange(8)[:, None, None] < 6, 3000, -1000) * np.ones((8, 8, 3), np.float32), np.eye(4) * 50)
    g, axis = scanner(v, 4, 180.0)
    found = simulate(v, g, axis, MU_WATER, 10.0, generator(0, "photons"))
    assert np.isfinite(found.data).all() and found.data.max() == pytest.approx(np.log(20), rel=1e-6)


def test_what_is_no_tissue_is_vacuum_and_what_is_no_hu_is_doubted() -> None:
    """Padding of -2000 attenuates nothing; a brain MRI gets a warning; .npy slices are multiples of water."""
    padded = volume()
    data = padded.data.copy()
    data[0] = -2000
    truth = truth_of(Volume(data, padded.affine))
    assert truth.data.min() == VACUUM and "warnings" not in truth.header
    mri = truth_of(Volume(np.linspace(0, 255, 27, dtype=np.float32).reshape(3, 3, 3), np.eye(4)))
    assert "Hounsfield" in mri.header["warnings"][0]
    relative = truth_of(Volume(np.array([0, 1, 1.05], np.float32).reshape(3, 1, 1), np.eye(4)), relative=True)
    np.testing.assert_allclose(relative.data.ravel(), [-1000, 0, 50], atol=1e-3)


def test_figures_of_a_comparison() -> None:
    """An offset of 10 HU has that error, and the PSNR of it on the stated range; the truth itself has none."""
    truth = np.full((12, 12, 12), -1000, np.float32)
    truth[3:9, 3:9, 3:9] = 40
    told = compare({"shifted": truth + 10, "same": truth}, truth)
    assert told["range"] == pytest.approx(1040)
    shifted, same = told["methods"]["shifted"], told["methods"]["same"]
    assert shifted["hu_error"] == pytest.approx(10) and shifted["psnr"] == pytest.approx(20 * np.log10(104))
    assert same["hu_error"] == 0 and same["psnr"] is None and same["ssim"] == pytest.approx(1)
    assert "planes" not in shifted


def test_planes_have_figures_of_their_own() -> None:
    """TP-13: stripes across one axis spoil the slices along it; a volume too thin for the window has no SSIM."""
    rng = np.random.default_rng(0)
    truth = np.full((16, 14, 12), -1000, np.float32)
    truth[3:13, 3:11, 3:9] = 40
    striped = truth + 60 * rng.standard_normal((1, 1, 12)).astype(np.float32)
    axes = {"sagittal": 0, "coronal": 1, "axial": 2}
    planes = compare({"striped": striped}, truth, axes)["methods"]["striped"]["planes"]
    assert planes["axial"]["psnr"] > planes["sagittal"]["psnr"] + 1
    assert planes["axial"]["ssim"] > planes["sagittal"]["ssim"]
    thin = compare({"striped": striped[:4]}, truth[:4], axes)["methods"]["striped"]["planes"]
    assert thin["axial"]["ssim"] is None and np.isfinite(thin["axial"]["psnr"])


def test_the_job_imports_no_torch_before_the_request_is_sound(tmp_path: Path) -> None:
    """Guards quick answers: a mistake in the options is told before anything heavy is loaded."""
    import subprocess
    import sys

    code = (
        "import sys\nfrom pathlib import Path\nfrom voxprior.jobs.ct_request import CtRequest, prepare\n"
        "from voxprior.jobs.options import CtOptions\nfrom voxprior.errors import InputError\n"
        f"try:\n    prepare(CtRequest(Path({str(tmp_path / 'no.npz')!r}), Path('o.nii'), CtOptions()))\n"
        "except InputError:\n    sys.exit('torch' in sys.modules)\nsys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
