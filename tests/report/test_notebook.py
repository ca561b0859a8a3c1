"""What a notebook shows."""

from __future__ import annotations

import base64
import re

import numpy as np

import voxprior
from voxprior.report.notebook import card

VALUES = {
    "job": "sr",
    "settings": {"method": "<script>alert(1)</script>"},
    "residual": None,
    "seconds": 1.25,
    "network_calls": 2,
    "weights": {"name": "head"},
    "warnings": ["a & b"],
    "notice": "not for diagnosis",
}


def test_a_card_escapes_every_text_and_holds_the_picture() -> None:
    """Guards notebooks that are shared: a name with markup in it stays a name."""
    html = card(b"\x89PNG", VALUES)
    assert "<script" not in html and "&lt;script&gt;" in html and "a &amp; b" in html
    assert base64.b64decode(re.search("base64,([^']+)'", html)[1]) == b"\x89PNG"
    assert "not known" in html and "not for diagnosis" in html


def test_results_show_themselves_and_are_short_in_words() -> None:
    """Guards the last line of a cell: a picture and a line, not a million numbers."""
    rng = np.random.default_rng(0)
    thin = voxprior.restore(rng.random((12, 12, 5)), voxel_size=(1.0, 1.0, 3.0), method="linear")
    assert thin._repr_png_().startswith(b"\x89PNG")
    assert "method" in thin._repr_html_()
    assert repr(thin).startswith("Restoration(job=sr, method=linear") and len(repr(thin)) < 120
    kspace = rng.standard_normal((1, 24, 24)) + 1j * rng.standard_normal((1, 24, 24))
    found = voxprior.reconstruct(kspace, maps=np.ones((1, 24, 24), complex), method="zero-filled")
    assert found._repr_png_().startswith(b"\x89PNG")
    assert repr(found).startswith("Reconstruction(job=recon")


def test_the_nine_words_are_in_the_package() -> None:
    """Guards the small namespace that pages and notebooks import from: each word, and the guidances, under its name."""
    nine = ("Volume", "Operator", "Measurement", "Denoiser", "Process", "Step", "schedule", "sample", "Method")
    guidance = ("proximal", "projection", "dps", "pi_gdm")
    assert {*nine, *guidance, "restore", "reconstruct", "check"} <= set(voxprior.__all__)
