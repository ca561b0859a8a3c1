"""A scan whose header lies is put right in the browser: the library registers it, and the certificate tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from external.browser import give
from phantoms import HEAD, Ellipsoid, Phantom

pytestmark = [pytest.mark.external, pytest.mark.slow]
LARGER, SIZE, THICK, FINE = 2.0, 80.0, 4.0, 2.0
"""Times of the head, and mm of the field of view, slices and pixels: small heads are too round to register."""
MOVE = np.eye(4)
MOVE[:3, :3] = Rotation.from_rotvec([2.0, -3.0, 2.5], degrees=True).as_matrix()
MOVE[:3, 3] = [4.0, -3.0, 2.0]
"""What the header of the third scan adds, mm, RAS."""
TOLERANCE = 1.0
"""Millimetres, anywhere in the head."""


def _head(order: tuple[int, ...] = (0, 1, 2)) -> Phantom:
    """The larger head with its axes in another order."""
    a, b, c = order

    def turned(v: tuple[float, float, float]) -> tuple[float, float, float]:
        return v[a] * LARGER, v[b] * LARGER, v[c] * LARGER

    return Phantom(tuple(Ellipsoid(turned(e.centre), turned(e.radii), e.value) for e in HEAD.parts))


def _stack(path: Path, axis: int, move: NDArray[np.float64]) -> Path:
    """Slices along world ``axis`` in closed form, about the origin; their header says that they lie ``move`` away."""
    order = {0: (1, 2, 0), 1: (0, 2, 1), 2: (0, 1, 2)}[axis]
    count, number = round(SIZE / FINE), round(SIZE / THICK)
    centres = (np.arange(number) - (number - 1) / 2) * THICK
    data = np.moveaxis(_head(order).slices((count, count), (FINE, FINE), centres, THICK), -1, axis)
    affine = np.diag([*np.where(np.arange(3) == axis, THICK, FINE), 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(data.shape) - 1) / 2)
    image = nibabel.Nifti1Image(data.astype(np.float32), move @ affine)
    image.set_qform(move @ affine, 1)
    image.to_filename(path)
    return path


def _shift(move: NDArray[np.float64]) -> float:
    """The farthest way, mm, that a point within the head goes: middle, and ends of the axes of the skull."""
    ends = np.vstack([np.zeros(3), np.diag(HEAD.parts[0].radii), -np.diag(HEAD.parts[0].radii)]) * LARGER
    return float(np.linalg.norm(ends @ (move[:3, :3] - np.eye(3)).T + move[:3, 3], axis=1).max())


@dataclass(frozen=True)
class Run:
    """A finished job: the ``scans`` of its certificate, what the page says of them, and how far from the truth it is.

    ``error``: root mean square over the voxels. ``shown``: affine of the third scan as it is looked at.
    """

    scans: list[dict[str, Any]]
    figures: str
    error: float
    shown: NDArray[np.float64]

    def transform(self, number: int) -> NDArray[np.float64]:
        """Of a scan, from 1, as it was found."""
        return np.array(self.scans[number - 1]["transform"])


def _restore(page: Any, folder: Path) -> Run:
    """Press the button, wait for that job to end, and download what it made."""
    folder.mkdir()
    asked = lambda answer: answer.url.endswith("/api/jobs") and answer.request.method == "POST"  # noqa: E731
    with page.expect_response(asked) as made:
        page.get_by_role("button", name="Restore").click()
    id = made.value.json()["id"]
    row = page.locator(f"#queue li[data-id='{id}']:is(.done, .failed)")
    row.wait_for()
    assert "done" in row.get_attribute("class"), row.inner_text()
    page.locator(f"#viewer[data-ready='{id}']").wait_for()
    for name in ("restored.nii.gz", "restored.json"):
        with page.expect_download() as caught:
            page.get_by_role("link", name=name, exact=True).click()
        caught.value.save_as(folder / name)
    restored = nibabel.load(folder / "restored.nii.gz")
    places = np.stack([*np.indices(restored.shape), np.ones(restored.shape)])
    truth = _head().at(*np.einsum("wc,cijk->wijk", restored.affine, places)[:3])
    error = float(np.sqrt(np.square(restored.get_fdata() - truth).mean()))
    (folder / "third.nii.gz").write_bytes(page.request.get(f"{made.value.url}/{id}/inputs/3").body())
    shown = nibabel.load(folder / "third.nii.gz").affine
    told = json.loads((folder / "restored.json").read_text())
    return Run(told["certificate"]["scans"], page.locator("#figures").inner_text(), error, shown)


def test_a_scan_that_moved_is_found(page: Any, tmp_path: Path) -> None:
    """Guards registration from the tick to the files, against the same run without it: shift, residual and image."""
    moves = [np.eye(4), np.eye(4), MOVE]
    paths = [_stack(tmp_path / f"{n}.nii.gz", a, m) for n, a, m in zip("abc", (2, 1, 0), moves, strict=True)]
    give(page, *paths)
    page.get_by_text("Ready: 3 scans").wait_for()
    page.get_by_label("Method").select_option("cubic-projected")
    trusted = _restore(page, tmp_path / "trusted")
    page.get_by_label("Registration").check()
    found = _restore(page, tmp_path / "found")
    farthest = [_shift(found.transform(n) @ move) for n, move in enumerate(moves, 1)]
    assert _shift(MOVE) > 5 and max(farthest) < TOLERANCE, farthest
    assert all(np.array_equal(trusted.transform(n), np.eye(4)) for n in (1, 2, 3))
    before, after = ([scan["residual"] for scan in run.scans] for run in (trusted, found))
    assert after[2] < before[2] / 3 and max(after) < 0.05, (before, after)
    assert found.error < 0.8 * trusted.error, (trusted.error, found.error)
    assert f"{after[2]:.1e}".replace("e-0", "e-") in found.figures, found.figures
    third = nibabel.load(paths[2]).affine
    assert np.allclose(trusted.shown, third, atol=1e-4), "shown where the header says"
    assert np.allclose(found.shown, found.transform(3) @ third, atol=1e-4), "and where it was found"
