"""``--report`` of every job: a page when it went well, and a page when it did not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from phantoms import HEAD


@pytest.fixture
def inputs(tmp_path: Path, thick_scan: Path) -> dict[str, tuple[Path, Path, tuple[str, ...]]]:
    """Input, output and options of each job that starts from a measurement."""
    data = HEAD.views(np.arange(20) * 9.0, (np.arange(45) - 22) * 1.0, [0.0, 4.0], 1.0) * 0.0193 / 140
    np.savez(tmp_path / "views.npz", sinogram=data, angles_deg=np.arange(20) * 9.0, pixel_mm=1.0, photons=1e5)
    image = HEAD.at(*np.meshgrid(np.arange(33) * 2 - 33.0, np.arange(24) * 2 - 24.0, 0.0, indexing="ij"))[..., 0]
    np.save(tmp_path / "k.npy", np.fft.fftshift(np.fft.fft2(image, norm="ortho"))[None].astype(np.complex64))
    return {
        "sr": (thick_scan, tmp_path / "o.nii", ("--method", "cubic-projected")),
        "ct": (tmp_path / "views.npz", tmp_path / "c.nii", ("--method", "fbp")),
        "recon": (tmp_path / "k.npy", tmp_path / "k.npz", ("--method", "zero-filled", "--mask", "uniform:2:8")),
    }


@pytest.mark.parametrize("job", ["sr", "ct", "recon"])
def test_every_job_shows_its_result(voxprior, inputs, tmp_path: Path, job: str) -> None:
    """Layers, profile, residual, settings, versions and the warning are on the page, and nothing from outside."""
    source, target, words = inputs[job]
    ran = voxprior(job, "-i", source, "-o", target, *words, "--report", tmp_path / "r.html")
    assert ran.code == 0, ran.err
    text = (tmp_path / "r.html").read_text()
    for part in ("Not for diagnosis.", "data-viewer", "from the edge", "invented", "residual", "torch", words[1]):
        assert part in text
    assert text.count("<svg") == 2 and str(tmp_path) not in text
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)  # a drawing may point into itself


@pytest.mark.parametrize("job", ["sr", "ct", "recon"])
def test_every_job_tells_of_its_failure(voxprior, inputs, tmp_path: Path, job: str) -> None:
    """A damaged input gives a page that says so, and no output."""
    source, target, words = inputs[job]
    source.write_bytes(source.read_bytes()[:200])
    ran = voxprior(job, "-i", source, "-o", target, *words, "--report", tmp_path / "r.html")
    assert ran.code == 2 and not target.exists()
    text = (tmp_path / "r.html").read_text()
    assert "Failed; there is no result." in text and source.name in text and str(tmp_path) not in text


@pytest.mark.slow
def test_a_generated_volume_has_a_page(voxprior, tmp_path: Path) -> None:
    """Nothing was measured, and the page says so instead of a residual."""
    words = ("--shape", "16", "16", "16", "--steps", "3", "--samples", "2")
    ran = voxprior("generate", "-o", tmp_path / "g.nii", *words, "--report", tmp_path / "r.html")
    assert ran.code == 0, ran.err
    text = (tmp_path / "r.html").read_text()
    assert "made from the prior alone" in text and "data-viewer" in text and "sample 2" in text
