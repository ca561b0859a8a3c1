"""Folders of reconstructions beside references: what belongs together, what is scored, and what fails."""

import csv

import h5py
import nibabel
import numpy as np
import pytest

from voxprior.cli.app import main
from voxprior.errors import InputError
from voxprior.evaluate.recon.folders import images_in, magnitude, score_folder, score_volume
from voxprior.metrics import fastmri


def _volume(seed, shape=(3, 30, 34)):
    y, x = np.mgrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    texture = np.random.default_rng(seed).random(shape)
    return np.where(y**2 + x**2 < 0.7, 1 + texture, 0).astype(np.float32)


@pytest.fixture
def folders(tmp_path):
    """Three references of fastMRI's layout; reconstructions as HDF5 (larger), npz (complex) and NIfTI."""
    made, truths = tmp_path / "made", tmp_path / "truths"
    made.mkdir()
    truths.mkdir()
    for seed, name in enumerate(("a", "b", "c")):
        with h5py.File(truths / f"{name}.h5", "w") as file:
            file["reconstruction_rss"] = _volume(seed)
    noise = 0.05 * np.random.default_rng(9).standard_normal((3, 30, 34)).astype(np.float32)
    with h5py.File(made / "a.h5", "w") as file:
        file["reconstruction"] = np.pad(_volume(0) + noise, ((0, 0), (5, 5), (2, 2)))
    np.savez(made / "b.npz", image=(1j * (_volume(1) + noise)).astype(np.complex64))
    nibabel.save(nibabel.Nifti1Image((_volume(2) + noise).T, np.eye(4)), made / "c.nii.gz")
    return made, truths, noise


def test_figures_are_fastmri_s_of_what_the_files_hold(folders):
    """Whatever the format: magnitude, slices first, a larger field of view cut about its centre."""
    made, truths, noise = folders
    rows, failed = score_folder(made, truths)
    assert failed == [] and [row.file for row in rows] == ["a", "b", "c"]
    for seed, row in enumerate(rows):
        expected = fastmri(np.abs(_volume(seed) + noise), _volume(seed))
        assert (row.psnr, row.ssim, row.nmse) == pytest.approx(tuple(expected), rel=1e-5)
        assert row.slices == 3 and row.psnr_object < row.psnr + 3


def test_a_missing_reconstruction_is_told_and_the_rest_goes_on(folders):
    """A folder of hundreds must not be lost to one name."""
    made, truths, _ = folders
    (made / "b.npz").unlink()
    told, steps = [], []
    rows, failed = score_folder(made, truths, lambda done, total: steps.append((done, total)), told.append)
    assert [row.file for row in rows] == ["a", "c"] and failed == ["b"]
    assert "b: no reconstruction" in told[0]
    assert steps == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("shape", [(3, 28, 34), (2, 30, 34)])
def test_a_reconstruction_that_does_not_cover_the_reference_is_refused(shape):
    """Padding it, or dropping slices, would score something that nobody made."""
    with pytest.raises(InputError, match="does not cover"):
        score_volume("a", _volume(0, shape), _volume(0))


def test_an_empty_slice_has_no_figures_of_the_source(folders):
    """Its own maximum would be a division by zero; the volume figures stand."""
    truth = _volume(0)
    truth[0] = 0
    row = score_volume("a", 1.1 * truth, truth)
    assert row.nmse == pytest.approx(0.01, rel=1e-3) and row.nmse_hfs_sde < 1e-9


def test_files_that_are_no_images_are_refused(folders, tmp_path):
    """Each with its name and what is wrong with it."""
    made = folders[0]
    with h5py.File(made / "k.h5", "w") as file:
        file["kspace"] = np.zeros(3)
    with pytest.raises(InputError, match="holds kspace"):
        magnitude(made / "k.h5")
    (made / "d.h5").write_bytes(b"\x89HDF but not really")
    with pytest.raises(InputError, match="damaged"):
        magnitude(made / "d.h5")
    np.savez(made / "n.npz", image=np.full((2, 20, 20), np.nan))
    with pytest.raises(InputError, match="NaN"):
        magnitude(made / "n.npz")
    np.savez(made / "a.npz", image=np.ones((2, 20, 20)))
    with pytest.raises(InputError, match="one name"):
        images_in(made)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        images_in(tmp_path / "empty")


def test_the_command_writes_table_and_picture(folders, tmp_path, capsys):
    """A line a volume, a picture, the means on stdout; exit 1 and the name when one failed."""
    made, truths, _ = folders
    table, picture = tmp_path / "t.csv", tmp_path / "t.png"
    given = ["evaluate", "recon", "--reconstructions", str(made), "--references", str(truths)]
    assert main([*given, "--csv", str(table), "--figure", str(picture)]) == 0
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == ["a", "b", "c"]
    assert f"PSNR {np.mean([float(row['psnr']) for row in rows]):.4f} dB" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*given, "--csv", str(table)]) == 2
    (made / "c.nii.gz").unlink()
    assert main([*given, "--csv", str(table), "--force"]) == 1
    assert "1 of 3 failed: c" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [[], ["--data", "d", "--reconstructions", "r", "--references", "t"], ["--references", "r"], ["--csv", "x.csv"]],
)
def test_the_command_wants_either_data_or_two_folders(words, capsys):
    """A mixture would leave one of them unused without a word."""
    assert main(["evaluate", "recon", *words]) == 2
    assert "--data, or --reconstructions and --references" in capsys.readouterr().err
