"""Pages: complete in themselves, safe, and true to the voxels."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxprior.errors import InputError
from voxprior.jobs.failure import reported
from voxprior.jobs.options import SrOptions
from voxprior.jobs.sr_request import SrRequest
from voxprior.report.figures import RESULT, edge_profile, residual_bars, slice_profile
from voxprior.report.group import Member, group_page
from voxprior.report.html import Entry, page
from voxprior.report.scene import POSITIONS, slice_scene, volumes_scene
from voxprior.volume import Volume

VALUES = {
    "job": "sr",
    "notice": "n",
    "warnings": [],
    "inputs": ["a.nii"],
    "residual": 0.1,
    "certificate": {
        "residual_per_slice": [0.1, 0.2],
        "noise": None,
        "noise_source": "unknown",
        "output_sha256": "00",
        "operator": {"kind": "slices"},
    },
    "settings": {"method": "cubic"},
    "seconds": 1,
    "network_calls": 0,
    "peak_memory_bytes": None,
    "weights": None,
    "versions": {"voxprior": "0"},
}


def ball(shape: tuple[int, int, int] = (20, 24, 16), step: tuple[float, float, float] = (1, 1, 1)) -> Volume:
    """A bright ball, half as wide as the smallest side, with a ramp along the first axis."""
    places = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, step, strict=True)]
    distance = np.sqrt(sum(p.reshape([-1 if a == b else 1 for b in range(3)]) ** 2 for a, p in enumerate(places)))
    data = np.where(distance < 6, 100.0, 0.0) + places[0][:, None, None]
    return Volume(data.astype(np.float32), np.diag([*step, 1.0]))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(float)


def test_layers_lie_on_each_other() -> None:
    """Guards the slider: thick slices are shown as blocks of the result's pixels, at the same place."""
    fine, thick = ball((20, 24, 16)), ball((20, 24, 4), (1, 1, 4))
    scene = volumes_scene({"measured": thick, "restored": fine}, {"uncertainty": (fine, "spread")}, (0.0, 100.0))
    assert [layer.title for layer in scene.layers] == ["measured", "restored", "uncertainty"]
    for view in scene.views:
        assert len(view.cuts) == POSITIONS
        sizes = {pixels(png).shape for cut in view.cuts for png in cut}
        assert len(sizes) == 1
    sagittal = pixels(scene.views[0].cuts[POSITIONS // 2][0])
    runs = np.flatnonzero((np.diff(sagittal, axis=0) != 0).any(axis=1))
    assert len(runs) and (np.diff(runs) % 4 == 0).all()


def test_a_slice_is_shown_as_it_is_stored() -> None:
    """Guards orientation of k-space images: row 0 at the top; a map that is missing is left out."""
    image = np.zeros((6, 8), dtype=np.float32)
    image[0, 0] = 5
    scene = slice_scene({"zero-filled": image, "reconstructed": image}, {"std": (None, "spread")})
    shown = pixels(scene.views[0].cuts[0][1])
    assert shown.shape == (6, 8) and shown[0, 0] == 255 and shown.sum() == 255


def test_a_profile_crosses_the_edge() -> None:
    """The line runs along the axis that was asked for, and names every image; residuals have a bar each."""
    fine = ball()
    drawing = edge_profile({"measured": ball((20, 24, 4), (1, 1, 4)), "restored": fine}, fine, 2)
    for word in ("measured", "restored", "90 %", "mm from the edge"):
        assert word in drawing
    assert drawing.startswith("<svg") and "currentColor" in drawing and "http-equiv" not in drawing
    assert drawing == edge_profile({"measured": ball((20, 24, 4), (1, 1, 4)), "restored": fine}, fine, 2)
    image = np.outer(np.ones(16), np.arange(16) > 7).astype(np.float32)
    assert "voxels from the edge" in slice_profile({"zero-filled": image, "reconstructed": image}, image)
    assert residual_bars([0.1, 0.2, 0.3], "coil").count(f"fill: {RESULT}") == 3


def test_the_only_script_is_ours() -> None:
    """Guards the page's policy: it allows one script, by its digest, and nothing from outside."""
    entry = Entry("o.nii", VALUES, b"png", volumes_scene({"restored": ball()}, {}))
    text = page([entry])
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "default-src 'none'" in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "onclick" not in text and "script-src" not in page([entry._replace(scene=None)])


def test_failures_are_named_before_results() -> None:
    """A page of a folder says which scans have no result, every text escaped."""
    text = page([Entry("o.nii", VALUES, b"png")], {"<b>.nii": "cut & short"})
    assert "&lt;b&gt;.nii failed" in text and "cut &amp; short" in text and text.count("<section>") == 1


def test_a_failed_run_leaves_a_page_without_folders(tmp_path: Path) -> None:
    """Guards privacy and honesty: the reason is on the page, the patient's folder is not; an older page stays."""
    source, report = tmp_path / "DOE_JOHN" / "scan.nii", tmp_path / "r.html"
    request = SrRequest(source, tmp_path / "o.nii", SrOptions(method="cubic"), report=report)
    with pytest.raises(InputError), reported("sr", request):
        raise InputError(f"{source}: no such file")
    text = report.read_text()
    assert "scan.nii: no such file" in text and "DOE" not in text and "cubic" in text
    with pytest.raises(ValueError), reported("sr", request):
        raise ValueError("another")
    assert report.read_text() == text


def test_a_group_page_lists_failures_first() -> None:
    """Every scan has a line; failed ones come first; figures are spread in drawings."""
    members = [
        Member("sub-01", VALUES, None, "sub-01/report.html"),
        Member("sub-02", {**VALUES, "seconds": 3}),
        Member("sub-03", None, "cut <short>"),
    ]
    text = group_page("Cohort", members)
    assert text.index("sub-03") < text.index("sub-01") and "cut &lt;short&gt;" in text
    assert 'href="sub-01/report.html"' in text and text.count("<svg") == 2
    assert "<script" not in text and "<svg" not in group_page("None", members[2:])
