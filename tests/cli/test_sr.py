"""``voxprior sr`` from files to files: outputs, sidecar, frames, simulation, batches."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

KEYS = {
    "versions",
    "weights",
    "settings",
    "seed",
    "certificate",
    "residual",
    "seconds",
    "peak_memory_bytes",
    "network_calls",
    "inputs",
    "outputs",
    "warnings",
    "job",
    "notice",
}
PNG = b"\x89PNG\r\n\x1a\n"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_scan_becomes_an_image_its_maps_a_preview_and_a_sidecar(voxprior, thick_scan: Path) -> None:
    """Guards the promised files and keys, and that no absolute path is among them."""
    folder = thick_scan.parent
    ran = voxprior("sr", "-i", thick_scan, "-o", folder / "out.nii.gz", "--method", "cubic-projected")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("out.nii.gz: restored in ")
    assert files(folder) == {
        "thick.nii.gz",
        "out.nii.gz",
        "out.json",
        "out_invented.nii.gz",
        "out_preview.png",
    }
    text = (folder / "out.json").read_text()
    values = json.loads(text)
    assert set(values) == KEYS
    assert values["inputs"] == ["thick.nii.gz"]
    assert values["outputs"] == ["out.nii.gz", "out_invented.nii.gz", "out_preview.png"]
    assert values["certificate"]["input"] == "thick.nii.gz"
    assert values["residual"] < 1e-6
    assert values["network_calls"] == 0
    assert str(folder) not in text
    assert (folder / "out_preview.png").read_bytes().startswith(PNG)
    restored = nib.load(folder / "out.nii.gz")
    assert restored.get_data_dtype() == np.float32
    np.testing.assert_allclose(restored.header.get_zooms()[2], 2.0, rtol=1e-6)  # the in-plane spacing


def test_the_invented_map_is_what_the_slices_do_not_see(voxprior, thick_scan: Path) -> None:
    """Guards its definition: measured again it is zero, and without it the rest still explains the slices."""
    folder = thick_scan.parent
    assert voxprior("sr", "-i", thick_scan, "-o", folder / "o.nii", "--method", "cubic-projected").code == 0
    from voxprior.volume import SliceGeometry

    certificate = json.loads((folder / "o.json").read_text())["certificate"]
    matrix = SliceGeometry.from_dict(certificate["operator"]).matrix()
    invented = np.asarray(nib.load(folder / "o_invented.nii").dataobj)
    image = np.asarray(nib.load(folder / "o.nii").dataobj)
    measured = np.asarray(nib.load(thick_scan).dataobj)
    assert np.abs(invented).max() > 1
    assert np.abs(invented @ matrix.T).max() < 1e-4 * np.abs(measured).max()
    np.testing.assert_allclose((image - invented) @ matrix.T, measured, atol=1e-4 * measured.max())


def test_a_ball_stays_at_its_millimetres(voxprior, thick_scan: Path) -> None:
    """Guards world coordinates through an oblique affine: the centre of mass moves by less than a tenth of a mm."""
    folder = thick_scan.parent
    scan = nib.load(thick_scan)
    i, j, k = (np.arange(n) - (n - 1) / 2 for n in scan.shape)
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    radius = np.sqrt((i[:, None, None] * spacing[0]) ** 2 + (j[:, None] * spacing[1]) ** 2 + (k * spacing[2]) ** 2)
    ball = np.exp(-((radius / 8) ** 2)).astype(np.float32)
    nib.save(nib.Nifti1Image(ball, scan.affine), folder / "ball.nii")
    done = voxprior("sr", "-i", folder / "ball.nii", "-o", folder / "o.nii", "--method", "cubic", "--spacing", "0.7")
    assert done.code == 0
    assert np.linalg.norm(centre_of_mass(folder / "o.nii") - centre_of_mass(folder / "ball.nii")) < 0.1


def centre_of_mass(path: Path) -> np.ndarray:
    image = nib.load(path)
    data = np.asarray(image.dataobj, dtype=np.float64)
    index = [np.tensordot(data, np.indices(data.shape)[a], 3) / data.sum() for a in range(3)]
    return nib.affines.apply_affine(image.affine, index)


def test_existing_outputs_are_kept_until_force(voxprior, thick_scan: Path) -> None:
    """Guards against overwriting: any one file of the set is enough to refuse, and nothing changes."""
    folder = thick_scan.parent
    words = ("sr", "-i", thick_scan, "-o", folder / "out.nii.gz", "--method", "cubic")
    (folder / "out_std.nii.gz").write_bytes(b"precious")
    ran = voxprior(*words)
    assert ran.code == 2
    assert "out_std.nii.gz: exists already" in ran.err
    assert files(folder) == {"thick.nii.gz", "out_std.nii.gz"}
    assert voxprior(*words, "--force").code == 0
    assert voxprior(*words).code == 2
    assert voxprior(*words, "--force").code == 0


def test_force_leaves_no_maps_of_another_run_beside_the_new_image(voxprior, thick_scan: Path) -> None:
    """Guards against a stale map: what an earlier run listed in its sidecar goes, a user's own file stays."""
    folder = thick_scan.parent
    words = ("sr", "-i", thick_scan, "-o", folder / "out.nii.gz", "--method", "cubic", "--force")
    assert voxprior(*words).code == 0
    values = json.loads((folder / "out.json").read_text())
    values["outputs"] += ["out_std.nii.gz", "../thick.nii.gz", "thick.nii.gz", "out_notes.nii.gz"]
    (folder / "out.json").write_text(json.dumps(values))
    for name in ("out_std.nii.gz", "out_interval.nii.gz", "out_notes.nii.gz"):
        (folder / name).write_bytes(b"x")
    assert voxprior(*words).code == 0
    assert not (folder / "out_std.nii.gz").exists()
    assert {"out_interval.nii.gz", "out_notes.nii.gz", "thick.nii.gz"} <= files(folder)


def test_frames_of_a_series_become_one_output_each(voxprior, thick_scan: Path) -> None:
    """Guards --frames: refused without, one file for one frame, numbered files for several, each verifiable."""
    folder = thick_scan.parent
    scan = nib.load(thick_scan)
    data = np.asarray(scan.dataobj)
    series = np.stack([data, 2 * data, 3 * data], axis=-1)
    nib.save(nib.Nifti1Image(series, scan.affine), folder / "series.nii.gz")
    words = ("sr", "-i", folder / "series.nii.gz", "--method", "linear", "-o")
    assert voxprior(*words, folder / "a.nii").code == 2
    assert voxprior(*words, folder / "a.nii", "--frames", "1").code == 0
    assert voxprior(*words, folder / "b.nii", "--frames", "0,2").code == 0
    assert {"a.nii", "b_frame-00.nii", "b_frame-02.nii"} <= files(folder)
    assert "b.nii" not in files(folder)
    first, third = (np.asarray(nib.load(folder / f"b_frame-{t}.nii").dataobj) for t in ("00", "02"))
    np.testing.assert_allclose(third, 3 * first, rtol=1e-5, atol=1e-4)
    assert json.loads((folder / "b_frame-02.json").read_text())["certificate"]["input_frame"] == 2
    assert voxprior("verify", folder / "b_frame-02.nii").code == 0
    assert voxprior("sr", *words[1:], folder / "c.nii", "--frames", "3").code == 2


def fine_volume(folder: Path, head) -> Path:
    x = (np.arange(20) - 9.5) * 2.0
    data = head.at(x[:, None, None], x[None, :, None], x[None, None, :]).astype(np.float32)
    nib.save(nib.Nifti1Image(data + 1, np.diag([2.0, 2.0, 2.0, 1.0])), folder / "fine.nii.gz")
    return folder / "fine.nii.gz"


@pytest.mark.parametrize(
    ("options", "distance", "thickness"),
    [
        (("--factor", "4"), 8.0, 8.0),
        (("--thickness", "5", "--gap", "1"), 6.0, 5.0),
        (("--factor", "3", "--gap", "-1"), 6.0, 7.0),
        (("--factor", "2.5", "--axis", "i"), 5.0, 5.0),
    ],
)
def test_simulate_degrades_restores_and_compares(voxprior, tmp_path, head, options, distance, thickness) -> None:
    """Guards --simulate: the slices are those asked for, figures are printed and kept, the simulated input verifies."""
    fine = fine_volume(tmp_path, head)
    ran = voxprior("sr", "-i", fine, "-o", tmp_path / "o.nii.gz", "--simulate", "--method", "cubic-projected", *options)
    assert ran.code == 0, ran.err
    values = json.loads((tmp_path / "o.json").read_text())
    assert set(values) == KEYS | {"comparison"}
    figures = values["comparison"]["methods"]
    assert set(figures) == {"cubic", "cubic-projected"}
    assert 10 < figures["cubic"]["psnr"] < 60
    assert "cubic: PSNR " in ran.out
    operator = values["certificate"]["operator"]
    np.testing.assert_allclose([operator["spacing"], operator["thickness"]], [distance, thickness])
    assert operator["fine_spacing"] == pytest.approx(2.0)
    assert values["certificate"]["input"] == "o_input.nii.gz"
    assert values["residual"] < 1e-5
    assert voxprior("verify", tmp_path / "o.nii.gz").code == 0


def test_simulated_slices_restored_to_the_truth_grid_lie_where_the_truth_lies(voxprior, tmp_path, head) -> None:
    """Guards the crop: with a factor that does not divide the volume every output voxel is a truth voxel's place."""
    fine = fine_volume(tmp_path, head)
    assert (
        voxprior("sr", "-i", fine, "-o", tmp_path / "o.nii", "--simulate", "--factor", "3", "--method", "linear").code
        == 0
    )
    truth, restored = nib.load(fine), nib.load(tmp_path / "o.nii")
    index = np.linalg.inv(truth.affine) @ restored.affine @ [0, 0, 0, 1]
    np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
    assert restored.shape == (20, 20, 18)


def test_a_folder_of_npy_slices_is_a_fine_volume(voxprior, tmp_path, head) -> None:
    """Guards TPDM's layout: stacked by name along k, integers divided by 255, refused without --simulate."""
    folder = tmp_path / "slices"
    folder.mkdir()
    x = np.arange(16) - 7.5
    for k, z in enumerate(x):
        plane = head.at(x[:, None], x[None, :], z)
        np.save(folder / f"{k:03d}.npy", np.rint(plane).astype(np.uint8))
    words = ("sr", "-i", folder, "-o", tmp_path / "o.nii.gz", "--method", "cubic")
    assert voxprior(*words).code == 2
    ran = voxprior(*words, "--simulate", "--factor", "4")
    assert ran.code == 0, ran.err
    restored = nib.load(tmp_path / "o.nii.gz")
    assert restored.shape == (16, 16, 16)
    assert np.asarray(restored.dataobj).max() < 1
    np.save(folder / "003.npy", np.array([{}], dtype=object), allow_pickle=True)
    ran = voxprior(*words, "--simulate", "--force")
    assert ran.code == 2
    assert "003.npy" in ran.err


def test_a_batch_goes_on_after_a_broken_member(voxprior, thick_scan: Path) -> None:
    """Guards batches: the others are written under their names, the bad one is listed, and the exit code is 1."""
    folder, out = thick_scan.parent, thick_scan.parent / "out"
    (folder / "aa_broken.nii.gz").write_bytes(thick_scan.read_bytes()[:-200])
    (folder / "zz.nii").write_text("no image")
    (folder / "notes.txt").write_text("not a scan")
    report = folder / "page.html"
    ran = voxprior("sr", "-i", folder, "-o", out, "--method", "cubic", "--report", report)
    assert ran.code == 1
    assert "2 of 3 scans failed: aa_broken.nii.gz, zz.nii" in ran.err
    assert files(out) == {"thick.nii.gz", "thick.json", "thick_invented.nii.gz", "thick_preview.png"}
    assert "thick.nii.gz" in report.read_text()
    (folder / "aa_broken.nii.gz").unlink()
    (folder / "zz.nii").unlink()
    assert voxprior("sr", "-i", folder, "-o", out, "--method", "cubic", "--force").code == 0


def test_a_batch_never_writes_two_scans_to_one_sidecar(voxprior, thick_scan: Path) -> None:
    """Guards against a.nii and a.nii.gz sharing a.json, also with --force."""
    folder = thick_scan.parent
    nib.save(nib.load(thick_scan), folder / "thick.nii")
    ran = voxprior("sr", "-i", folder, "-o", folder / "out", "--method", "cubic", "--force")
    assert ran.code == 1
    assert "another scan of the folder has this name" in ran.err


def test_a_batch_of_nothing_is_a_mistake(voxprior, tmp_path: Path) -> None:
    """Guards against success without work."""
    (tmp_path / "in").mkdir()
    ran = voxprior("sr", "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert ran.code == 2
    assert not (tmp_path / "out").exists()


def test_quiet_prints_only_errors(voxprior, thick_scan: Path) -> None:
    """Guards -q: silent when all is well, and still an error line when not."""
    words = ("sr", "-q", "-i", thick_scan, "-o", thick_scan.with_name("o.nii"), "--method", "cubic")
    assert voxprior(*words) == (0, "", "")
    assert voxprior(*words).err.startswith("voxprior: error: ")


def test_a_report_names_settings_versions_and_the_notice(voxprior, thick_scan: Path) -> None:
    """Guards the page: complete, without any address to load from, and without the folder's name."""
    page = thick_scan.with_name("page.html")
    words = ("sr", "-i", thick_scan, "-o", thick_scan.with_name("o.nii"), "--method", "cubic", "--steps", "9")
    ran = voxprior(*words, "--report", page)
    assert ran.code == 0
    assert "warning: --steps has no effect with --method cubic" in ran.err
    text = page.read_text()
    for part in ("data:image/png;base64,", "Not a medical device", "cubic", "numpy", "--steps has no effect"):
        assert part in text
    assert not re.search(r"(src|href|action)\s*=\s*[\"']https?:|url\(\s*[\"']?https?:|@import", text)
    assert "https:" not in text
    assert str(thick_scan.parent) not in text
    assert voxprior(*words, "--report", thick_scan.with_name("page.txt")).code == 2
