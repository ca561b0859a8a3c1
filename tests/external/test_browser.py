"""The viewer in a real browser, from upload to download, by mouse and by keyboard alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import nibabel
import numpy as np
import pytest

from dicoms import SECRETS, thick

pytestmark = pytest.mark.external
EVIL = "<img src=x onerror=alert(document.cookie)>"
SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
PATIENCE = 120_000
"""Milliseconds: a loaded machine takes long to import torch."""


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The link that a running server printed."""
    folder = tmp_path_factory.mktemp("served")
    command = [sys.executable, "-m", "voxprior", "serve", "--port", "0", "--folder", str(folder)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield re.search(r"http://\S+", process.stdout.readline())[0]
        process.terminate()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser without a screen, which draws in software."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("chromium is not installed; .ci/run names the package")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=SOFTWARE)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, link: str) -> Iterator[Any]:
    """The page of the server; nothing on it may fail, warn by a dialog, or ask another server."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    opened, wrong = context.new_page(), []
    opened.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
    opened.on("pageerror", lambda error: wrong.append(f"error {error}"))
    expected = "Failed to load resource"  # what the server refuses, the page says in words
    opened.on("console", lambda m: m.type == "error" and expected not in m.text and wrong.append(f"console {m.text}"))
    own = link.partition("/?")[0]
    foreign = lambda request: not request.url.startswith((own, "data:", "blob:"))  # noqa: E731
    opened.on("request", lambda request: foreign(request) and wrong.append(f"asked {request.url}"))
    opened.goto(link)
    opened.locator("#fields .field").first.wait_for()
    yield opened
    context.close()
    assert not wrong


def _newest(page: Any, state: str) -> Any:
    row = page.locator(f"#queue li.{state}").first
    row.wait_for()
    return row


def _give(page: Any, *files: Path) -> None:
    page.locator("#file").set_input_files([str(path) for path in files])
    page.get_by_text("Ready:").wait_for()


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
    _give(page, hostile)
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
    _give(page, tmp_path / "series.zip")
    page.get_by_text("a DICOM series of 6 files").wait_for()
    _restore(page)
    assert not [secret for secret in (*SECRETS, "DOE^JANE", "onerror") if secret in page.content()]
    with page.expect_download() as caught:
        page.get_by_role("link", name="restored-dicom.zip").click()
    caught.value.save_as(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert sum(name.endswith(".dcm") for name in archive.namelist()) > 6


def test_the_keyboard_is_enough(page: Any, thick_scan: Path) -> None:
    """Guards those who use no mouse: every control is reached by Tab, in order, and the crosshair moves by keys."""
    _give(page, thick_scan)
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
    page.get_by_label("Job").select_option("generate")
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
