"""A real archive, Orthanc, sends a series to the node and gets the restored one back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dicoms import SECRETS, thick
from external.orthanc import SECONDS, Archive, end, free_port, listens, running
from voxprior.io.dicom import read_dicom
from voxprior.volume import fine_affine, slice_geometry

pytestmark = pytest.mark.external


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[Archive, subprocess.Popen[str], Path]]:
    """Orthanc and the node, each knowing the other."""
    node = free_port()
    with running(tmp_path, {"voxprior": ["VOXPRIOR", "127.0.0.1", node]}) as archive:
        pacs = f"ORTHANC@127.0.0.1:{archive.port}"
        words = ["-m", "voxprior", "receive", "--port", node, "--forward", pacs, "--wait", "1"]
        words += ["--callers", "ORTHANC", "--method", "cubic-projected"]
        with (tmp_path / "node.log").open("w") as log:
            command = [sys.executable, *map(str, words)]
            served = subprocess.Popen(command, stdout=log, stderr=log, text=True, cwd=tmp_path, env={**os.environ})
            try:
                listens(node)
                yield archive, served, tmp_path
            finally:
                end(served)


def test_from_the_archive_and_back(places: tuple[Archive, subprocess.Popen[str], Path]) -> None:
    """A bad series and a good one are sent; the good one comes back restored, and the node stops clean."""
    archive, served, folder = places
    series = thick(shape=(6, 24, 20))
    for path in series.write(folder / "in", [3, 1, 0, 2, 5, 4]):
        archive.ask("/instances", path.read_bytes())
    for path in thick(uid="1.2.3.20").write(folder / "bad", [0, 1, 3, 4]):
        archive.ask("/instances", path.read_bytes())
    first = {uid: archive.ask(f"/series/{uid}")["MainDicomTags"]["SeriesInstanceUID"] for uid in archive.wait_for(2)}
    assert archive.ask("/modalities/voxprior/echo", b"{}") == {}
    for identifier in sorted(first, key=lambda uid: first[uid] != "1.2.3.20"):  # the bad one first
        archive.ask("/modalities/voxprior/store", identifier.encode())
    (new,) = set(archive.wait_for(3)) - set(first)
    source = read_dicom(folder / "in")
    geometry = slice_geometry(source, thickness=4.0)
    for _ in range(SECONDS * 4):
        described = archive.ask(f"/series/{new}")
        if len(described["Instances"]) == geometry.fine_count:
            break
        time.sleep(0.25)
    tags = described["MainDicomTags"]
    assert tags["SeriesDescription"].startswith("AI-restored, not for diagnosis")
    assert archive.ask(f"/series/{new}/study")["MainDicomTags"]["StudyInstanceUID"] == series.study
    (folder / "back.zip").write_bytes(archive.ask(f"/series/{new}/archive"))
    back = read_dicom(folder / "back.zip")
    np.testing.assert_allclose(back.affine, fine_affine(source.affine, geometry), atol=1e-6)
    matrix = geometry.matrix()
    again = np.tensordot(back.data, matrix, axes=(2, 1))
    assert np.linalg.norm(again - source.data) / np.linalg.norm(source.data) < 1e-3
    served.send_signal(signal.SIGTERM)
    assert served.wait(timeout=SECONDS) == 0
    log = (folder / "node.log").read_text()
    assert "missing between slices" in log and "restored and sent to ORTHANC" in log
    assert "stopped: 1 series restored, 1 failed, 0 not finished" in log
    assert not any(secret in log for secret in SECRETS)
