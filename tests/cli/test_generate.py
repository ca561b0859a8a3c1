"""``voxprior generate`` and the pictures of a run, from words to files."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

SMALL = ("--shape", "12", "16", "8", "--steps", "4")


@pytest.mark.parametrize("method", ["voxprior", "tpdm"])
def test_a_seed_makes_a_volume(voxprior, tmp_path: Path, method: str) -> None:
    """Guards the promise: same seed same voxels, another seed others, and files that say what they are."""
    found = []
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        out = tmp_path / f"{name}.nii.gz"
        ran = voxprior("generate", "-o", out, *SMALL, "--spacing", "1.5", "--seed", seed, "--method", method)
        assert ran.code == 0, ran.err
        image = nib.load(out)
        found.append(image.get_fdata())
        assert image.shape == (12, 16, 8) and nib.aff2axcodes(image.affine) == ("R", "A", "S")
        np.testing.assert_allclose(np.diag(image.affine), [1.5, 1.5, 1.5, 1])
        np.testing.assert_allclose(image.affine @ [5.5, 7.5, 3.5, 1], [0, 0, 0, 1], atol=1e-5)
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-3
    values = json.loads((tmp_path / "a.json").read_text())
    assert values["certificate"] is None and "nothing was measured" in values["certificate_reason"]
    assert values["job"] == "generate" and values["residual"] is None and values["network_calls"] >= 4
    assert values["weights"]["name"] == "head-slices" and values["inputs"] == []


def test_samples_and_snapshots(voxprior, tmp_path: Path) -> None:
    """Guards the files of several samples, and that sample 2 does not depend on how many are made."""
    out = tmp_path / "x.nii.gz"
    ran = voxprior("generate", "-o", out, *SMALL, "--samples", "2", "--snapshots", "2", "-q")
    assert ran.code == 0 and ran.out == "", ran.err
    pictures = {"x_preview.png", "x_step-00002.png", "x_step-00004.png"}
    images = {"x.nii.gz", "x_sample-01.nii.gz", "x_sample-02.nii.gz"}
    assert {p.name for p in tmp_path.iterdir()} == pictures | images | {"x.json"}
    assert set(json.loads((tmp_path / "x.json").read_text())["outputs"]) == pictures | images
    first, second = (nib.load(tmp_path / f"x_sample-0{k}.nii.gz").get_fdata() for k in (1, 2))
    np.testing.assert_array_equal(nib.load(out).get_fdata(), first)
    assert np.abs(first - second).max() > 1e-3
    assert voxprior("verify", out).code == 2  # there is nothing to verify, and it says why
    assert voxprior("generate", "-o", out, *SMALL).code == 2
    assert voxprior("generate", "-o", out, *SMALL, "--force").code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"x.nii.gz", "x.json", "x_preview.png"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--shape", "4", "16", "16"), "at least 8"),
        (("--shape", "512", "512", "512"), "256 x 256 x 256"),
        (("--spacing", "0"), "spacing"),
        (("--method", "cubic"), "unknown"),
        (("--method", "tpdm", "--primary", "axial", "--auxiliary", "axial"), "two different planes"),
        (("--method", "tpdm", "--k", "1"), "--k 1"),
    ],
)
def test_mistakes_are_told_in_a_line(voxprior, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    """Guards the door: exit code 2, what is wrong, and no file."""
    ran = voxprior("generate", "-o", tmp_path / "x.nii.gz", *(() if "--shape" in words else SMALL), *words)
    assert ran.code == 2 and told in ran.err and ran.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("--mode", "sample"), ("--method", "tpdm", "--k", "2.5", "--dps-weight", "1")])
def test_pictures_of_a_restoration_on_its_way(voxprior, thick_scan: Path, words: tuple[str, ...]) -> None:
    """Guards --snapshots for slices: a picture every N calls, named in the sidecar, none without the option."""
    out = thick_scan.parent / "out.nii.gz"
    ran = voxprior("sr", "-i", thick_scan, "-o", out, *words, "--steps", "4", "--snapshots", "2")
    assert ran.code == 0, ran.err
    listed = json.loads((thick_scan.parent / "out.json").read_text())["outputs"]
    shown = sorted(p.name for p in thick_scan.parent.glob("out_step-*.png"))
    assert shown[0] == "out_step-00002.png" and set(shown) <= set(listed)
    assert voxprior("sr", "-i", thick_scan, "-o", out, *words, "--steps", "4", "--force").code == 0
    assert not list(thick_scan.parent.glob("out_step-*.png"))
