"""``voxprior ct``: files in, files out, proofs, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from phantoms import HEAD
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.weights import export

KEYS = {
    *("versions", "weights", "settings", "seed", "certificate", "residual", "seconds", "peak_memory_bytes"),
    *("network_calls", "inputs", "outputs", "warnings", "job", "notice", "views"),
}
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 0, 3.0, -40], [0, 2.0, 0, 3], [0, 0, 0, 1]])
"""Array axis 1 is the patient's."""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def sidecar(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    return values


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """The head in HU, 22 x 11 x 16 voxels of 2 x 2 x 3 mm, coronal slices second."""
    x, y, z = (np.arange(22) - 10.5) * 2, (np.arange(16) - 7.5) * 3, (np.arange(11) - 5) * 2.0
    hu = HEAD.at(x[:, None, None], y, z[:, None]) * 7 - 1000
    nib.save(nib.Nifti1Image(hu.astype(np.float32), AFFINE), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


@pytest.fixture
def sinogram(tmp_path: Path) -> Path:
    """Closed-form views of two slices in a file without an affine."""
    angles = np.arange(20) * 9.0
    data = HEAD.views(angles, (np.arange(45) - 22) * 1.0, [0.0, 4.0], 1.0) * 0.0193 / 140
    np.savez(tmp_path / "views.npz", sinogram=data, angles_deg=angles, pixel_mm=1.0, photons=1e5)
    return tmp_path / "views.npz"


def test_a_sinogram_becomes_a_volume_its_maps_and_a_proof(voxprior, sinogram: Path) -> None:
    """Guards the promised files and keys; no absolute path is among them; what is missing is warned of."""
    folder = sinogram.parent
    ran = voxprior("ct", "-i", sinogram, "-o", folder / "out.nii.gz", "--method", "fbp")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("out.nii.gz: restored in ")
    assert "no place in a patient" in ran.err
    assert names(folder) == {"views.npz", "out.nii.gz", "out.json", "out_invented.nii.gz", "out_preview.png"}
    text = (folder / "out.json").read_text()
    values = json.loads(text)
    assert set(values) == KEYS
    assert values["inputs"] == ["views.npz"] and values["certificate"]["input"] == "views.npz"
    assert values["outputs"] == ["out.nii.gz", "out_invented.nii.gz", "out_preview.png"]
    assert values["views"] == {"count": 20, "first_deg": 0, "last_deg": 171, "photons": 1e5}
    assert values["settings"]["mu_water"] == 0.0193 and values["settings"]["filter"] == "hann"
    assert str(folder) not in text
    image = nib.load(folder / "out.nii.gz")
    assert image.shape == (45, 45, 2) and image.get_data_dtype() == np.float32
    assert nib.aff2axcodes(image.affine) == ("P", "L", "S")
    hu = np.asarray(image.dataobj)
    assert hu[26:29, 21:24].mean() == pytest.approx(160 / 0.14 - 1000, abs=60)
    checked = voxprior("verify", folder / "out.nii.gz")
    assert checked.code == 0 and "residual of every view" in checked.out


def test_one_slice_is_enough(voxprior, sinogram: Path) -> None:
    """A sinogram (view, bin) becomes a volume of one slice, and its proof holds."""
    folder = sinogram.parent
    with np.load(sinogram) as arrays:
        np.savez(folder / "one.npz", **{**arrays, "sinogram": arrays["sinogram"][0]})
    assert voxprior("ct", "-i", folder / "one.npz", "-o", folder / "one.nii", "--method", "fbp").code == 0
    assert nib.load(folder / "one.nii").shape == (45, 45, 1)
    assert voxprior("verify", folder / "one.nii").code == 0


def test_simulated_views_are_reconstructed_compared_and_kept(voxprior, scan: Path) -> None:
    """Guards the whole chain from a volume to a proof, along the patient's axis, on the grid of the truth."""
    folder = scan.parent
    words = ("--simulate", "--views", "18", "--range-deg", "120", "--photons", "1e4", "--method", "cgls")
    ran = voxprior("ct", "-i", scan, "-o", folder / "out.nii", *words)
    assert ran.code == 0, ran.err
    assert "  fbp: PSNR " in ran.out and "  cgls: PSNR " in ran.out and " HU off" in ran.out
    values = sidecar(folder / "out.json")
    assert set(values) == KEYS | {"comparison"}
    assert values["certificate"]["input"] == "out_input.npz" and values["inputs"] == ["scan.nii.gz"]
    operator = values["certificate"]["operator"]
    assert operator["axis"] == 1 and operator["slices"] == 11 and operator["shape"] == [22, 16]
    assert len(operator["angles"]) == 18 and max(operator["angles"]) < 120
    assert values["certificate"]["noise_source"] == "given" and values["certificate"]["noise"] > 0.005
    image = nib.load(folder / "out.nii")
    assert image.shape == (22, 11, 16)
    np.testing.assert_allclose(image.affine, AFFINE)
    assert voxprior("verify", folder / "out.nii").code == 0
    again = voxprior("ct", "-i", folder / "out_input.npz", "-o", folder / "again.nii", "--method", "cgls")
    assert again.code == 0
    np.testing.assert_array_equal(np.asarray(nib.load(folder / "again.nii").dataobj), np.asarray(image.dataobj))
    (folder / "out_input.npz").unlink()
    assert voxprior("verify", folder / "out.nii").code == 2


def test_without_photons_there_is_no_noise(voxprior, scan: Path) -> None:
    """The promise of --simulate: exact views of every slice, 36 over half a turn."""
    folder = scan.parent
    for out in ("a.nii", "b.nii"):
        assert voxprior("ct", "-i", scan, "-o", folder / out, "--simulate", "--method", "fbp", "-q").code == 0
    assert (folder / "a_input.npz").read_bytes() == (folder / "b_input.npz").read_bytes()
    from voxprior.io.sinogram import read_sinogram, to_mu
    from voxprior.operators.projection_matrix import build_matrix

    views = read_sinogram(folder / "a_input.npz")
    assert views.photons is None and views.geometry.views == 36 and max(views.geometry.angles) == 175
    hu = np.asarray(nib.load(scan).dataobj)
    expected = build_matrix(views.geometry) @ to_mu(np.moveaxis(hu, 1, 0).reshape(11, -1).T, 0.0193)
    np.testing.assert_allclose(views.data.reshape(11, -1).T, expected, atol=1e-5)


@pytest.mark.parametrize(("beam", "source", "detector"), [("fan-flat", "200", "350"), ("fan-arc", None, None)])
def test_a_fan_is_simulated_reconstructed_and_proved(
    beam: str, source: str | None, detector: str | None, voxprior, scan: Path
) -> None:
    """Guards the scanner of --beam: lengths given or common, a full turn, and the same view of it in every file."""
    folder = scan.parent
    lengths = () if source is None else ("--source-mm", source, "--detector-mm", detector)
    words = ("--simulate", "--views", "60", "--beam", beam, *lengths, "--method", "cgls")
    ran = voxprior("ct", "-i", scan, "-o", folder / "out.nii", *words)
    assert ran.code == 0, ran.err
    values = sidecar(folder / "out.json")
    operator = values["certificate"]["operator"]
    assert operator["beam"] == beam and max(operator["angles"]) == 354
    expected = (541, 949) if source is None else (200, 350)
    assert (operator["source"], operator["detector"]) == expected
    figures = values["comparison"]["methods"]["cgls"]
    assert figures["psnr"] > 30 and set(figures["planes"]) == {"sagittal", "coronal", "axial"}
    assert voxprior("verify", folder / "out.nii").code == 0


def test_tpdm_restores_views_with_own_weights_and_shows_its_way(voxprior, sinogram: Path) -> None:
    """Guards the published method behind the command: its options, samples, pictures, and water as the prior's unit."""
    folder = sinogram.parent
    torch.manual_seed(0)
    prior = SlicePrior(SlicePriorConfig(channels=(8, 8), blocks=(1, 1)))
    export(prior, folder / "own.safetensors", {"licence": "none", "data": {}, "training": {}, "figures": {}})
    options = ("--steps", "3", "--k", "3", "--snr", ".1", "--samples", "2", "--snapshots", "3", "--mu-water", ".02")
    words = ("--method", "tpdm", "--weights", folder / "own.safetensors", *options)
    ran = voxprior("ct", "-i", sinogram, "-o", folder / "out.nii", *words)
    assert ran.code == 0, ran.err
    assert "no effect" not in ran.err
    values = sidecar(folder / "out.json")
    settings = values["settings"]
    assert (settings["k"], settings["snr"], settings["mu_water"]) == (3, 0.1, 0.02)
    assert (settings["primary"], settings["auxiliary"]) == ("axial", "sagittal")
    assert values["weights"]["name"] == "own" and values["network_calls"] == 12
    made = {"out_sample-01.nii", "out_sample-02.nii", "out_std.nii", "out_interval.nii"}
    assert made | {"out_step-00003.png", "out_step-00006.png"} <= names(folder)
    assert np.isfinite(np.asarray(nib.load(folder / "out.nii").dataobj)).all()


def test_a_folder_of_npy_slices_is_a_volume(voxprior, tmp_path: Path) -> None:
    """TPDM's layout: slices of attenuation relative to water, 000.npy and so on, along the axis of the views."""
    (tmp_path / "slices").mkdir()
    for k in range(4):
        image = (HEAD.at((np.arange(24) - 11.5)[:, None] * 2, (np.arange(20) - 9.5) * 2, k - 2.0) / 140).clip(0)
        np.save(tmp_path / "slices" / f"{k:03d}.npy", image.astype(np.float32))
    words = ("--simulate", "--views", "30", "--method", "cgls")
    ran = voxprior("ct", "-i", tmp_path / "slices", "-o", tmp_path / "out.nii.gz", *words)
    assert ran.code == 0, ran.err
    values = sidecar(tmp_path / "out.json")
    assert values["certificate"]["operator"]["axis"] == 2
    hu = np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj)
    assert hu.shape == (24, 20, 4)
    assert hu[11:13, 12:15].mean() == pytest.approx(160 / 0.14 - 1000, abs=100)


def test_a_folder_of_sinograms(voxprior, sinogram: Path) -> None:
    """Every sinogram is reconstructed; a bad one is listed, and the exit code says so; a report shows the rest."""
    folder = sinogram.parent / "many"
    folder.mkdir()
    for name in ("a.npz", "b.npz"):
        (folder / name).write_bytes(sinogram.read_bytes())
    (folder / "bad.npz").write_bytes(b"no archive")
    out = sinogram.parent / "out"
    ran = voxprior("ct", "-i", folder, "-o", out, "--method", "fbp", "--report", sinogram.parent / "all.html")
    assert ran.code == 1 and "1 of 3 scans failed: bad.npz" in ran.err
    assert {"a.nii.gz", "a.json", "b.nii.gz"} <= names(out) and "bad.nii.gz" not in names(out)
    page = (sinogram.parent / "all.html").read_text()
    assert "<h3>X-ray views</h3>" in page and page.count("<section>") == 2


def test_options_reach_the_method(voxprior, sinogram: Path) -> None:
    """A filter changes the picture; an option of another method is warned of; water sets the scale of HU."""
    folder = sinogram.parent
    for out, *words in (("a.nii",), ("b.nii", "--filter", "ram-lak"), ("c.nii", "--strength", "1"), ("d.nii",)):
        more = ("--mu-water", "0.02") if out == "d.nii" else words
        ran = voxprior("ct", "-i", sinogram, "-o", folder / out, "--method", "fbp", *more)
        assert ran.code == 0, ran.err
        assert ("--strength has no effect" in ran.err) == (out == "c.nii")
    a, b, c, d = (np.asarray(nib.load(folder / f"{n}.nii").dataobj) for n in "abcd")
    assert np.abs(a - b).max() > 10 and np.array_equal(a, c)
    np.testing.assert_allclose((d + 1000) * 0.02, (a + 1000) * 0.0193, atol=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "nope"), "--method nope is unknown; give one of "),
        (("--method", "tv", "--mode", "mean"), "--mode belongs to --method voxprior"),
        (("--views", "18"), "--views belongs to --simulate"),
        (("--photons", "1e5"), "--photons belongs to --simulate"),
        (("--beam", "fan-arc"), "--beam belongs to --simulate"),
        (("--method", "tpdm", "--primary", "axial", "--auxiliary", "axial"), "two different planes"),
        (("--filter", "ramp"), "ramp"),
        (("--iterations", "0"), "iterations"),
        (("--report", "page.pdf"), "must end in .html"),
    ],
)
def test_slips_are_told_in_one_line(words: tuple[str, ...], message: str, voxprior, sinogram: Path) -> None:
    """Guards exit code 2 and one line, before any work, with nothing left behind."""
    ran = voxprior("ct", "-i", sinogram, "-o", sinogram.parent / "out.nii", *words)
    assert ran.code == 2 and message in ran.err and len(ran.err.strip().splitlines()) == 1
    assert names(sinogram.parent) == {"views.npz"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "an image, not a sinogram"),
        (("--simulate", "--views", "0"), "--views 0 must be above 0"),
        (("--simulate", "--photons", "-1"), "--photons -1 must be above 0"),
        (("--simulate", "--range-deg", "400"), "more than a turn"),
        (("--simulate", "--axis", "z"), "--axis z"),
        (("--simulate", "--beam", "cone"), "--beam cone is unknown; give one of parallel, fan-flat, fan-arc"),
        (("--simulate", "--source-mm", "500"), "--source-mm belongs to a fan"),
        (("--simulate", "--beam", "fan-flat", "--detector-mm", "0"), "--detector-mm 0 must be above 0"),
        (("--simulate", "--beam", "fan-flat", "--source-mm", "20"), "the source must be outside"),
        (("--simulate", "--views", "100000000"), "--views 100000000 is more than 10000"),
    ],
)
def test_slips_of_a_simulation_are_told(words: tuple[str, ...], message: str, voxprior, scan: Path) -> None:
    """The same for --simulate, and for an image in the place of a sinogram."""
    ran = voxprior("ct", "-i", scan, "-o", scan.parent / "out.nii", *words)
    assert ran.code == 2 and message in ran.err and len(ran.err.strip().splitlines()) == 1
    assert names(scan.parent) == {"scan.nii.gz"}


def test_existing_outputs_are_kept_until_force(voxprior, scan: Path) -> None:
    """Any one file of the set is enough to refuse, the simulated views among them."""
    folder = scan.parent
    (folder / "out_input.npz").write_bytes(b"precious")
    words = ("ct", "-i", scan, "-o", folder / "out.nii", "--simulate", "--method", "fbp", "-q")
    ran = voxprior(*words)
    assert ran.code == 2 and "out_input.npz: exists already" in ran.err
    assert (folder / "out_input.npz").read_bytes() == b"precious"
    assert voxprior(*words, "--force").code == 0


def test_a_simulation_has_a_report(voxprior, scan: Path) -> None:
    """Guards the page of a comparison whose figures are a plane."""
    page = scan.parent / "page.html"
    words = ["ct", "-i", scan, "-o", scan.parent / "out.nii.gz", "--simulate", "--views", "12", "--method", "fbp"]
    ran = voxprior(*words, "--report", page)
    assert ran.code == 0, ran.err
    assert "PSNR of fbp" in page.read_text()
