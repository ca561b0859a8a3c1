"""``voxprior sr`` with several scans of one patient: one volume, a proof for each, and what goes wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from dicoms import SECRETS, Series
from phantoms import HEAD
from voxprior.io.dicom import read_dicom

SIZE, THICK = 40.0, 5.0


def scan(folder: Path, name: str, axis: int, scale: float = 1.0, turn: float = 0.0, shift: float = 0.0) -> Path:
    """The head in 8 slices of 5 mm along world ``axis``, 2 mm in plane; ``turn``: degrees about the first axis."""
    steps = np.where(np.arange(3) == axis, THICK, 2.0)
    count = np.round(SIZE / steps).astype(int)
    fine = [(np.arange(c * s) - (c * s - 1) / 2) for c, s in zip(count, steps, strict=True)]
    places = np.stack(np.meshgrid(*fine, indexing="ij"))
    angle = np.deg2rad(turn)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    world = np.einsum("wc,cijk->wijk", rotation, places)
    data = HEAD.at(*world) * scale
    for a, (c, s) in enumerate(zip(count, steps, strict=True)):
        shape = [*data.shape]
        shape[a : a + 1] = [c, int(s)]
        data = data.reshape(shape).mean(axis=a + 1)
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(steps)
    affine[:3, 3] = -affine[:3, :3] @ ((count - 1) / 2) + [shift, 0, 0]
    image = nib.Nifti1Image(data.astype(np.float32), affine)
    image.set_qform(affine, 1)
    nib.save(image, folder / name)
    return folder / name


def values(out: Path) -> dict:
    return json.loads(out.with_name("out.json").read_text())


def test_three_scans_become_one_volume_with_a_proof_for_each(voxprior, tmp_path: Path) -> None:
    """The result explains every scan, whatever its gain and tilt; a changed scan or scale fails the check."""
    scans = [
        scan(tmp_path, "ax.nii.gz", 2),
        scan(tmp_path, "cor.nii.gz", 1, 1.6),
        scan(tmp_path, "tilted.nii.gz", 0, 0.5, 12.0),
    ]
    out, page = tmp_path / "out.nii.gz", tmp_path / "r.html"
    ran = voxprior("sr", "-i", *scans, "-o", out, "--method", "cubic", "--report", page)
    assert ran.code == 0, ran.err
    told = values(out)
    assert nib.load(out).shape == (20, 20, 20) and told["inputs"] == ["ax.nii.gz", "cor.nii.gz", "tilted.nii.gz"]
    each = told["certificate"]["scans"]
    assert [round(one["scale"], 1) for one in each] == [1.0, 1.6, 0.5]
    assert all(one["residual"] < 0.06 for one in each) and each[2]["used"] < 1
    assert "cor.nii.gz" in page.read_text() and str(tmp_path) not in page.read_text()
    assert voxprior("verify", out).code == 0
    sidecar = tmp_path / "out.json"
    told["certificate"]["scans"][1]["scale"] *= 1.01
    sidecar.write_text(json.dumps(told))
    assert voxprior("verify", out).code == 1
    told["certificate"]["scans"][1]["scale"] = "x"
    sidecar.write_text(json.dumps(told))
    assert "damaged" in voxprior("verify", out).err


def series(folder: Path, name: str, row: tuple[float, float, float], column: tuple[float, float, float]) -> Path:
    """The head as 8 DICOM slices of 5 mm in a folder named after its patient; ``row``, ``column`` in LPS."""
    empty = Series(
        np.zeros((8, 20, 20), np.uint16), spacing=5.0, thickness=5.0, pixel=(2.0, 2.0), row=row, column=column,
        uid=f"1.2.826.0.1.3680043.8.498.9.{len(name)}",
    )
    empty.origin = tuple(-np.array(row) * 19 - np.array(column) * 19 - empty.normal * 17.5)
    places = np.stack([*np.meshgrid(*map(np.arange, (20, 20, 8)), indexing="ij"), np.ones((20, 20, 8))])
    world = np.einsum("wi,ixyz->wxyz", empty.affine(), places)
    thick = [HEAD.at(*(world[:3] + shift * (empty.normal * [-1, -1, 1])[:, None, None, None])) for shift in (-1.5, 1.5)]
    empty.voxels = (100 * np.mean(thick, axis=0)).transpose(2, 1, 0).astype(np.uint16)
    empty.write(folder / name)
    return folder / name


def test_series_and_images_go_together(voxprior, tmp_path: Path) -> None:
    """Guards privacy and the proof: DICOM is not named, and is found again by its digest, in a folder or a zip."""
    axial = series(tmp_path / "in", "Zzyzx_ax", (1.0, 0, 0), (0, 1.0, 0))
    coronal = series(tmp_path / "in", "Zzyzx_coronal", (1.0, 0, 0), (0, 0, -1.0))
    image = scan(tmp_path / "in", "sag.nii.gz", 0, 100.0)
    out, page = tmp_path / "out.nii.gz", tmp_path / "r.html"
    ran = voxprior("sr", "-i", axial, coronal, image, "-o", out, "--method", "cubic", "--report", page)
    assert ran.code == 0, ran.err
    told = values(out)
    assert told["inputs"] == ["DICOM series", "DICOM series", "sag.nii.gz"]
    each = told["certificate"]["scans"]
    assert [one["input"] for one in each] == [None, None, "in/sag.nii.gz"]
    assert all(one["residual"] < 0.1 and abs(one["scale"] - 1) < 0.1 for one in each)
    said = json.dumps(told) + page.read_text()
    assert not [word for word in (*SECRETS, str(tmp_path)) if word in said]
    assert "--input" in voxprior("verify", out).err
    assert voxprior("verify", out, "--input", tmp_path / "in").code == 0
    packed = shutil.make_archive(str(tmp_path / "in" / "Zzyzx"), "zip", coronal)
    shutil.rmtree(coronal)
    assert voxprior("verify", out, "--input", tmp_path / "in").code == 0
    Path(packed).unlink()
    assert voxprior("verify", out, "--input", tmp_path / "in").code == 1
    slices = sorted(axial.iterdir())
    ran = voxprior("sr", "-i", slices[0], slices[1], "-o", tmp_path / "two.nii", "--report", tmp_path / "bad.html")
    assert ran.code == 2 and "named twice" in ran.err
    assert "Zzyzx" not in (tmp_path / "bad.html").read_text()


def test_series_of_several_become_a_derived_series(voxprior, tmp_path: Path) -> None:
    """In the study and the space of the first; every slice names images of both; the proof holds and can fail."""
    axial = series(tmp_path / "in", "Zzyzx_ax", (1.0, 0, 0), (0, 1.0, 0))
    coronal = series(tmp_path / "in", "Zzyzx_coronal", (1.0, 0, 0), (0, 0, -1.0))
    image = scan(tmp_path / "in", "sag.nii.gz", 0, 100.0)
    out, page = tmp_path / "out", tmp_path / "r.html"
    words = ("-i", axial, coronal, image, "-o", out, "--dicom", "--method", "cubic", "--report", page)
    ran = voxprior("sr", *words)
    assert ran.code == 0, ran.err
    source, derived = read_dicom(axial), read_dicom(out)
    assert derived.data.shape == (20, 20, 20)
    assert np.allclose(derived.affine[:, :2], source.affine[:, :2]) and np.allclose(derived.affine[:3, 2], [0, 0, 2])
    inputs = {dcmread(p).SOPInstanceUID: p.parent.name for p in (*axial.iterdir(), *coronal.iterdir())}
    first = dcmread(next(axial.iterdir()))
    used = set()
    for path in sorted(out.glob("0*.dcm")):
        ds = dcmread(path)
        assert (ds.StudyInstanceUID, ds.FrameOfReferenceUID) == (first.StudyInstanceUID, first.FrameOfReferenceUID)
        named = [item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence]
        assert {inputs[uid] for uid in named} == {"Zzyzx_ax", "Zzyzx_coronal"}
        assert 1 <= sum(inputs[uid] == "Zzyzx_ax" for uid in named) <= 4, "parallel slices far away are not sources"
        assert sum(inputs[uid] == "Zzyzx_coronal" for uid in named) == 8, "every crossing slice is one"
        used.update(named)
    assert used == set(inputs)
    told = json.loads((out / "voxprior.json").read_text())
    assert [one["input"] for one in told["certificate"]["scans"]] == [None, None, "../in/sag.nii.gz"]
    assert all((out / name).exists() for name in told["outputs"])
    assert not [word for word in SECRETS if word in json.dumps(told) + page.read_text()]
    assert "exists already" in voxprior("sr", *words).err and voxprior("sr", *words, "--force").code == 0
    assert voxprior("verify", out, "--input", tmp_path / "in").code == 0
    ds = dcmread(out / "0010.dcm")
    ds.PixelData = bytes(len(ds.PixelData))
    ds.save_as(out / "0010.dcm")
    assert voxprior("verify", out, "--input", tmp_path / "in").code == 1


def test_series_of_two_patients_are_refused_and_other_spaces_doubted(voxprior, tmp_path: Path) -> None:
    """Two patients never become one volume; another frame of reference is a warning that names the way out."""
    axial = series(tmp_path, "Zzyzx_ax", (1.0, 0, 0), (0, 1.0, 0))
    coronal = series(tmp_path, "Zzyzx_coronal", (1.0, 0, 0), (0, 0, -1.0))
    words = ("-i", axial, coronal, "-o", tmp_path / "out", "--dicom", "--method", "linear")
    for keyword, value in (("FrameOfReferenceUID", "1.2.3.4"), ("PatientID", "PID-4712")):
        for path in coronal.iterdir():
            ds = dcmread(path)
            setattr(ds, keyword, value)
            ds.save_as(path)
        ran = voxprior("sr", *words, "--force")
        if keyword == "PatientID":
            assert ran.code == 2 and "different patients" in ran.err and "PID" not in ran.err
        else:
            assert ran.code == 0 and "--register" in ran.err
    image = scan(tmp_path, "a.nii.gz", 2)
    ran = voxprior("sr", "-i", image, axial, "-o", tmp_path / "o", "--dicom")
    assert ran.code == 2 and "not DICOM" in ran.err, "the first gives study and space"


def test_together_is_better_than_the_best_alone(voxprior, tmp_path: Path) -> None:
    """Guards the point of it: three directions of the same head resolve what no single one does."""
    scans = [scan(tmp_path, f"{axis}.nii.gz", axis) for axis in (2, 1, 0)]
    places = np.meshgrid(*[(np.arange(20) - 9.5) * 2] * 3, indexing="ij")
    truth = HEAD.at(*places)
    errors = []
    for number, chosen in enumerate(([scans[0]], [scans[1]], [scans[2]], scans)):
        out = tmp_path / str(number) / "out.nii"
        out.parent.mkdir()
        assert voxprior("sr", "-i", *chosen, "-o", out, "--method", "cubic-projected").code == 0
        errors.append(float(np.square(nib.load(out).get_fdata() - truth).mean()))
    assert 10 * np.log10(min(errors[:3]) / errors[3]) > 1


def test_what_several_scans_do_not_go_with(voxprior, tmp_path: Path) -> None:
    """Each mistake is one line and code 2, and nothing is written."""
    a, b = scan(tmp_path, "a.nii.gz", 2), scan(tmp_path, "b.nii.gz", 1)
    away = scan(tmp_path, "away.nii.gz", 1, shift=500.0)
    out = tmp_path / "out.nii"
    for words, reason in (
        ((a, b, "--mode", "sample"), "--mode sample takes one scan"),
        ((a, a), "named twice"),
        ((a, b, "--simulate"), "do not go with"),
        ((a, tmp_path / "none.nii"), "no such file"),
        ((a, tmp_path), "no DICOM series here"),
        ((a, b, "--series", "3"), "do not go with"),
        ((a, away, "--method", "linear"), "away.nii.gz: does not meet the first scan"),
        ((a, "--register"), "--register needs several"),
    ):
        ran = voxprior("sr", "-i", *words, "-o", out)
        assert ran.code == 2 and reason in ran.err, ran.err
        assert not out.exists()


@pytest.mark.slow
def test_registration_finds_how_a_patient_moved() -> None:
    """A head turned by 6 degrees and moved by 4 mm comes back to 0.5 mm in the middle of the brain."""
    from voxprior.jobs.registration import rigid
    from voxprior.volume import Volume

    places = np.meshgrid(*[(np.arange(40) - 19.5) * 2] * 3, indexing="ij")
    angle = np.deg2rad(6.0)
    move = np.eye(4)
    move[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    move[:3, 3] = [3.0, -2.0, 2.0]
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -39
    still = Volume(HEAD.at(*places).astype(np.float32), affine)
    turned = np.einsum("wc,cijk->wijk", move[:3, :3], np.stack(places)) + move[:3, 3, None, None, None]
    moved = Volume(HEAD.at(*turned).astype(np.float32), still.affine)
    found = rigid(still, moved)
    points = np.array([[0, 0, 0, 1], [15, 0, 0, 1], [0, -15, 0, 1], [0, 0, 15, 1.0]]).T
    assert np.abs((found @ points - move @ points)[:3]).max() < 0.5
