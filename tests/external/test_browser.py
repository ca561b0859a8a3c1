"""The viewer in a real browser, from upload to download, by mouse and by keyboard alone."""

from __future__ import annotations

import base64
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import matplotlib.image
import nibabel
import numpy as np
import pytest

from dicoms import SECRETS, thick
from external.browser import give
from external.conftest import Ask
from web.stacks import image, study

pytestmark = pytest.mark.external
EVIL = "<img src=x onerror=alert(document.cookie)>"
SHOTS = Path(os.environ["VOXPRIOR_SHOTS"]) if "VOXPRIOR_SHOTS" in os.environ else None
"""Where pictures of the page are kept, to be looked at."""


def _newest(page: Any, state: str) -> Any:
    row = page.locator(f"#queue li.{state}").first
    row.wait_for()
    return row


def _pane(page: Any, name: str) -> np.ndarray:
    """What a canvas shows, 0 to 1."""
    page.wait_for_timeout(700)
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"voxprior-pane-{os.getpid()}.png"
    page.locator(f"#{name}").screenshot(path=path)
    pixels = matplotlib.image.imread(path)[..., :3]
    path.unlink()
    return pixels


def _slide(page: Any, to: str) -> None:
    page.locator("#mix").fill(to)


def _restore(page: Any) -> None:
    page.get_by_label("Method").select_option("linear")
    page.get_by_role("button", name="Restore").click()
    page.locator("#viewer[data-ready]:not([data-ready=''])").wait_for()


def test_from_upload_to_download(page: Any, thick_scan: Path, tmp_path: Path) -> None:
    """Guards the door's whole way: a hostile name goes in and stays text, both panes show one place, files come out."""
    image = nibabel.load(thick_scan)
    image.header["descrip"] = EVIL.encode()
    hostile = tmp_path / f"{EVIL.replace('/', '')}.nii.gz"
    image.to_filename(hostile)
    give(page, hostile)
    _restore(page)
    assert "onerror" not in page.content() and "alert(" not in page.content()
    before, after = _pane(page, "before"), _pane(page, "after")
    assert before.max() > 0.5 and after.max() > 0.5, "both panes show something"
    assert np.abs(before - after).mean() > 0.01, "and not the same"
    _slide(page, "0")
    closer = np.abs(before - _pane(page, "after")).mean()
    assert closer < 0.85 * np.abs(before - after).mean(), "at input, the right pane shows what the left one does"
    with page.expect_download() as caught:
        page.get_by_role("link", name="restored.nii.gz", exact=True).click()
    caught.value.save_as(tmp_path / "restored.nii.gz")
    restored = nibabel.load(tmp_path / "restored.nii.gz")
    assert np.allclose(restored.header.get_zooms(), 2.0, atol=1e-5)
    with page.expect_download() as caught:
        page.get_by_role("link", name="Everything").click()
    caught.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert archive.read("restored.nii.gz") == (tmp_path / "restored.nii.gz").read_bytes()
        assert b"onerror" not in archive.read("report.html")
    page.screenshot(path=tmp_path / "page.png", full_page=True)


def test_a_dicom_zip_comes_back_as_dicom(page: Any, tmp_path: Path) -> None:
    """Guards the hospital's way, and privacy: what is in the zip's names and tags is nowhere on the page."""
    files = thick().write(tmp_path / "DOE^JANE")
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for path in files:
            archive.write(path, f"{EVIL}/{path.name}")
    give(page, tmp_path / "series.zip")
    page.get_by_text("a DICOM series of 6 files").wait_for()
    _restore(page)
    assert not [secret for secret in (*SECRETS, "DOE^JANE", "onerror") if secret in page.content()]
    with page.expect_download() as caught:
        page.get_by_role("link", name="restored-dicom.zip").click()
    caught.value.save_as(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert sum(name.endswith(".dcm") for name in archive.namelist()) > 6


# The page's own viewer on canvases of its own. Of each side: where NiiVue puts the corners (centres of voxels), the
# centre of mass of the intensities by NiiVue's voxels, and the crosshair after it was put on that centre in the first.
PLACES = """async ([before, after]) => {
  const { Viewer } = await import("/viewer.js");
  const canvases = [0, 1].map(() => document.body.appendChild(document.createElement("canvas")));
  const viewer = new Viewer(...canvases, () => {});
  await viewer.show({ before, output: after, std: null });
  const found = viewer.sides.map((side) => {
    const volume = side.volumes[0], [, nx, ny, nz] = volume.dimsRAS;
    const mm = (voxel) => [...side.frac2mm(side.vox2frac(voxel), 0, true)].slice(0, 3);
    const corners = [], moment = [0, 0, 0];
    let mass = 0;
    for (let z = 0; z < nz; z++) for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++) {
      const value = volume.getValue(x, y, z), place = mm([x, y, z]);
      mass += value;
      place.forEach((p, axis) => { moment[axis] += value * p; });
      if ([[x, nx], [y, ny], [z, nz]].every(([i, n]) => i === 0 || i === n - 1)) corners.push(place);
    }
    return { corners, centre: moment.map((m) => m / mass) };
  });
  const [first] = viewer.sides;
  canvases[0].tabIndex = 0;
  canvases[0].focus();  // NiiVue tells others only from the canvas that has the focus
  first.scene.crosshairPos = first.mm2frac(found[0].centre, 0, true);
  first.sync();
  const cross = (side) => [...side.frac2mm(side.scene.crosshairPos, 0, true)].slice(0, 3);
  viewer.sides.forEach((side, k) => { found[k].cross = cross(side); });
  return found;
}"""
TOLERANCE = 0.1
"""Millimetres."""


def _by_dcm2niix(ask: Ask, files: Path, out: Path) -> dict[str, np.ndarray]:
    """Corners and centre of mass of a series as dcm2niix and nibabel read it."""
    out.mkdir()
    ask("dcm2niix", "-b", "n", "-z", "n", "-o", out, files)
    (path,) = out.glob("*.nii")
    found = nibabel.load(path)
    data = found.get_fdata()
    voxels = np.stack([axis.ravel() for axis in np.indices(data.shape)])
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in data.shape])).reshape(3, -1)
    centre = voxels @ data.ravel() / data.sum()
    at = lambda v: (found.affine[:3, :3] @ v + found.affine[:3, 3:]).T  # noqa: E731
    return {"corners": at(ends), "centre": at(centre[:, None])[0]}


def _same_corners(a: Any, b: Any) -> bool:
    """Whether each corner of ``a`` is one of ``b``: readers store rows and slices in other orders."""
    apart = np.linalg.norm(np.array(a)[:, None] - np.array(b)[None], axis=-1)
    return bool(apart.min(0).max() < TOLERANCE and apart.min(1).max() < TOLERANCE)


def test_a_derived_series_opens_at_the_place_of_its_source(page: Any, ask: Ask, tmp_path: Path) -> None:
    """Guards where things are, to 0.1 mm: corners, and the centre of mass of an oblique head with a bright spot.

    NiiVue as it is bundled reads no DICOM: compared are the volumes that the page shows for the series that was given
    and for the one that was derived, by NiiVue's own affine and voxels, with what dcm2niix and nibabel make of both
    series, and for the source also with the geometry that its attributes state.
    """
    tilt, turn = np.deg2rad(17), np.deg2rad(9)
    row = np.array([np.cos(turn), np.sin(turn), 0.0])
    column = np.cross([-np.sin(turn) * np.sin(tilt), np.cos(turn) * np.sin(tilt), np.cos(tilt)], row)
    column /= np.linalg.norm(column)
    series = thick(shape=(12, 40, 36), row=tuple(row), column=tuple(column), origin=(-25.0, -33.0, -21.0))
    z, y, x = np.indices(series.voxels.shape)
    head = 900 * np.exp(-(((x - 17) / 5) ** 2 + ((y - 21) / 5) ** 2 + ((z - 5.5) / 1.7) ** 2))
    spot = 3000 * np.exp(-(((x - 24) / 2) ** 2 + ((y - 12) / 2) ** 2 + ((z - 7) / 1) ** 2))
    series.voxels = np.round(head + spot).astype(np.uint16)
    files = series.write(tmp_path / "source")
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for path in files:
            archive.write(path, path.name)
    give(page, tmp_path / "series.zip")
    _restore(page)
    with page.expect_download() as caught:
        page.get_by_role("link", name="restored-dicom.zip").click()
    caught.value.save_as(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path / "derived", [n for n in archive.namelist() if n.endswith(".dcm") and "/" not in n])
    job = page.locator("#viewer").get_attribute("data-ready")
    urls = [f"/api/jobs/{job}/inputs/1", f"/api/jobs/{job}/files/restored.nii.gz"]
    source, derived = page.evaluate(PLACES, urls)
    for shown, name in ((source, "source"), (derived, "derived")):
        judged = _by_dcm2niix(ask, tmp_path / name, tmp_path / f"{name}-nii")
        assert _same_corners(shown["corners"], judged["corners"]), name
        assert np.linalg.norm(shown["centre"] - judged["centre"]) < TOLERANCE, name
    values = series.values()
    weighted = np.stack([axis.ravel() for axis in np.indices(values.shape)]) @ values.ravel() / values.sum()
    stated = (series.affine() @ [*weighted, 1.0])[:3]
    assert np.linalg.norm(source["centre"] - stated) < TOLERANCE
    assert np.linalg.norm(np.subtract(derived["centre"], source["centre"])) < TOLERANCE
    assert np.linalg.norm(np.subtract(derived["cross"], source["centre"])) < TOLERANCE, "one crosshair for both"
    grid = np.diag([2.0, 3.0, 2.5, 1.0])
    grid[:3, 3] = stated - [30, 35, 28]
    nibabel.Nifti1Image(np.ones((31, 25, 24), np.float32), grid).to_filename(tmp_path / "straight.nii.gz")
    straight = base64.b64encode((tmp_path / "straight.nii.gz").read_bytes()).decode()
    other = page.evaluate(PLACES, [urls[0], f"data:application/octet-stream;base64,{straight}"])[1]
    assert np.linalg.norm(np.subtract(other["cross"], source["centre"])) < TOLERANCE, "beside a scan that is not tilted"
    assert len(source["corners"]) == len(derived["corners"]) == 8
    assert not _same_corners(np.add(source["corners"], [0.2, 0, 0]), source["corners"]), "the measure can fail"


def test_three_scans_become_one(page: Any, tmp_path: Path) -> None:
    """Guards several scans of one patient: two files and a series of a zip, by keyboard, to one result beside each."""
    for name, axis, scale in (("DOE-ax.nii.gz", 2, 1.0), ("DOE-cor.nii.gz", 1, 2.0)):
        image(tmp_path / name, axis, 100 * scale)
    page.locator("#file").set_input_files([tmp_path / "DOE-ax.nii.gz", tmp_path / "DOE-cor.nii.gz"])
    page.get_by_text("Ready: 2 scans").wait_for()
    page.locator("#adding").focus()
    page.keyboard.press("Space")
    page.locator("#file").set_input_files(str(study(tmp_path / "study.zip", "sagittal", "axial")))
    page.get_by_label("Scan 3: a DICOM series of 8 files (sagittal, series number 3)").wait_for()
    boxes = page.locator("#scans input")
    assert [box.is_checked() for box in boxes.all()] == [True, True, False, False], "of many series none is meant yet"
    boxes.nth(2).focus()
    page.keyboard.press("Space")
    page.get_by_text("Ready: 3 scans, one volume of them together, on the grid of scan 1").wait_for()
    assert page.get_by_label("Simulate").is_hidden() and page.get_by_label("Registration").is_visible()
    page.get_by_label("Put scan 2 first: it gives the grid").focus()
    page.keyboard.press("Enter")
    page.get_by_text("on the grid of scan 2").wait_for()
    page.get_by_label("Method").select_option("cubic-projected")
    page.get_by_role("button", name="Restore").click()
    page.locator("#viewer[data-ready]:not([data-ready=''])").wait_for()
    page.get_by_text("3 scans together").first.wait_for()
    assert page.locator("#beside option").all_inner_texts() == ["scan 2", "scan 1", "scan 3"]
    shots = {}
    for name in ("scan 2", "scan 1", "scan 3"):
        page.get_by_label("Beside").select_option(name)
        page.locator("#viewer[data-ready]:not([data-ready=''])").wait_for()
        shots[name] = _pane(page, "before")
        assert shots[name].max() > 0.5
    assert np.abs(shots["scan 1"] - shots["scan 2"]).mean() > 0.01, "slices lie in other directions"
    assert not [word for word in (*SECRETS, "DOE") if word in page.content()]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=SHOTS / f"voxprior-several-{scheme}.png" if SHOTS else tmp_path / "s.png", full_page=True)
    with page.expect_download() as caught:
        page.get_by_role("link", name="restored.nii.gz", exact=True).click()
    caught.value.save_as(tmp_path / "restored.nii.gz")
    restored = nibabel.load(tmp_path / "restored.nii.gz")
    assert restored.shape == (20, 20, 20) and np.allclose(restored.header.get_zooms(), 2.0)
    assert np.allclose(restored.affine @ [9.5, 9.5, 9.5, 1], [0, 0, 0, 1], atol=0.01), "in the place of the scans"
    assert page.get_by_role("link", name="report.html").count() == 1


def test_the_keyboard_is_enough(page: Any, thick_scan: Path) -> None:
    """Guards those who use no mouse: every control is reached by Tab, in order, and the crosshair moves by keys."""
    give(page, thick_scan)
    page.get_by_label("Method").select_option("nearest")
    page.locator("body").click(position={"x": 1, "y": 1})
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.locator("*:focus").get_attribute("id") or "")
        if reached[-1] == "start":
            break
    wanted = ["choose-file", "choose-folder", "choose-demo", "job", "option-method", "start"]
    assert [name for name in reached if name in wanted] == wanted
    page.keyboard.press("Enter")
    page.locator("#viewer[data-ready]:not([data-ready=''])").wait_for()
    page.locator("#before").focus()
    still = _pane(page, "before"), _pane(page, "after")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    moved = _pane(page, "before"), _pane(page, "after")
    assert all(np.abs(a - b).mean() > 1e-4 for a, b in zip(still, moved, strict=True)), "one crosshair for both"
    page.locator("#mix").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#mix").get_attribute("aria-valuetext") == "95 % output"


def test_a_job_is_cancelled(page: Any) -> None:
    """Guards patience: a run of minutes ends at once, and the page says so."""
    page.get_by_label("Job", exact=True).select_option("generate")
    page.get_by_label("Shape").fill("128 128 128")
    page.get_by_label("Samples").fill("8")
    page.get_by_role("button", name="Restore").click()
    row = _newest(page, "running")
    row.get_by_role("button", name=re.compile("Cancel")).click()
    _newest(page, "cancelled").get_by_role("button", name=re.compile("Remove")).click()
    page.locator("#queue li.cancelled").wait_for(state="detached")
    assert page.locator("#queue li.running").count() == 0


def test_a_mistake_is_told_in_words(page: Any, tmp_path: Path) -> None:
    """Guards the newcomer: what is no scan is said at once, and nothing is queued."""
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.7 a letter")
    page.locator("#file").set_input_files(str(tmp_path / "letter.pdf"))
    page.get_by_role("alert").get_by_text("not a scan").wait_for()
    assert page.get_by_role("button", name="Restore").is_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(scheme: str, chromium: Any, link: str) -> None:
    """Guards eyes: text stands out from its ground by 4.5 to 1 at least, whichever the system asks for."""
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(link)
    page.locator("#fields .field").first.wait_for()
    grounds = {}
    for selector in ("body", "#scan-title", ".hint", ".notice", "button.primary", "select"):
        ink, ground = page.locator(selector).first.evaluate(
            "e => { const c = getComputedStyle(e).color; let p = e; "
            "while (getComputedStyle(p).backgroundColor === 'rgba(0, 0, 0, 0)') p = p.parentElement; "
            "return [c, getComputedStyle(p).backgroundColor]; }"
        )
        a, b = sorted((_luminance(ink), _luminance(ground)))
        assert (b + 0.05) / (a + 0.05) >= 4.5, (selector, ink, ground)
        grounds[selector] = _luminance(ground)
    assert (grounds["body"] > 0.5) == (scheme == "light")
    context.close()


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def _channels(colour: str) -> list[float]:
    return [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
