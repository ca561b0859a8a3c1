"""The default method through the whole job, small."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from voxprior.cli.app import main


def read(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_the_mean_mode_writes_its_uncertainty(thick_scan: Path) -> None:
    """Guards the maps of the default: std, an interval of two frames about the mean, exact residual, weights named."""
    out = thick_scan.with_name("o.nii.gz")
    assert main(["sr", "-q", "-i", str(thick_scan), "-o", str(out)]) == 0
    values = json.loads(thick_scan.with_name("o.json").read_text())
    assert values["residual"] < 1e-4
    assert values["network_calls"] > 0
    assert set(values["weights"]) == {"name", "sha256"}
    assert values["settings"]["mode"] == "mean"
    image, std, bounds = (read(thick_scan.with_name(f"o{tag}.nii.gz")) for tag in ("", "_std", "_interval"))
    assert (std > 0).all()
    assert bounds.shape == (*image.shape, 2)
    np.testing.assert_allclose(bounds.mean(axis=-1), image, atol=1e-4 * image.max())
    wide = (bounds[..., 1] - bounds[..., 0]) / 2 / std
    assert wide.min() > 1.1 and wide.max() < 2.4  # 1.64 of a Gaussian; as widened by what the card of the weights says
    said = values["interval"]
    assert said["level"] == 0.9 and said["word"] != "calibrated"  # nobody knows by which scanner it was made
    assert "interval" not in values["settings"]
    assert (
        nib.load(thick_scan.with_name("o_interval.nii.gz")).header["sform_code"] == nib.load(out).header["sform_code"]
    )


def test_the_sample_mode_writes_its_samples_and_the_same_again_for_a_seed(thick_scan: Path) -> None:
    """Guards --samples: each is written, their mean is the image, and one seed gives one set of bytes."""
    words = ["sr", "-q", "-i", str(thick_scan), "--mode", "sample", "--samples", "2", "--steps", "2", "--seed", "5"]
    for name in ("a", "b"):
        assert main([*words, "-o", str(thick_scan.with_name(f"{name}.mgz"))]) == 0
    samples = [read(thick_scan.with_name(f"a_sample-0{k}.mgz")) for k in (1, 2)]
    image = read(thick_scan.with_name("a.mgz"))
    np.testing.assert_allclose(np.mean(samples, axis=0), image, atol=1e-4 * image.max())
    assert np.abs(samples[0] - samples[1]).max() > 0
    assert thick_scan.with_name("a.mgz").read_bytes() == thick_scan.with_name("b.mgz").read_bytes()
    assert read(thick_scan.with_name("a_interval.mgz")).shape == (*image.shape, 2)
