"""A report in a real browser: the slider, the layers, the cuts and the flicker do what they say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.external


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium of the system."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed; .ci/run names the package")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def report(thick_scan: Path) -> Path:
    """The page of the oblique thick scan."""
    from voxprior.cli.app import main

    page = thick_scan.with_name("page.html")
    words = ["-i", thick_scan, "-o", thick_scan.with_name("o.nii"), "--method", "cubic-projected", "--report", page]
    assert main(["sr", *map(str, words), "-q"]) == 0
    return page


def test_the_slider_shows_one_layer_at_either_side(browser: Any, report: Path) -> None:
    """Guards the viewer: under its own policy the script runs, loads nothing, and moves edge, layers and cuts."""
    faults: list[str] = []
    asked: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    clip = "getComputedStyle(document.querySelector('.frame .right')).clipPath"
    source = "document.querySelector('.frame .{}').src"
    assert page.evaluate(clip) == "inset(0px 0px 0px 50%)"
    page.locator("[name=wipe]").fill("20")
    assert page.evaluate(clip) == "inset(0px 0px 0px 20%)"
    page.locator("[name=wipe]").press("ArrowRight")
    assert page.evaluate(clip) == "inset(0px 0px 0px 21%)"
    left, right = (page.evaluate(source.format(side)) for side in ("left", "right"))
    assert left != right
    page.locator("[data-side=left][value='2']").check()  # restored, as at the right
    assert page.evaluate(source.format("left")) == right
    page.locator("[name=cut]").first.fill("0")
    assert page.evaluate(source.format("right")) != right
    box = page.locator(".frame").first.bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 5)
    assert page.evaluate(clip) == "inset(0px 0px 0px 75%)"
    page.get_by_role("button", name="flicker").click()
    seen = set()
    for _ in range(20):
        seen.add(page.evaluate("document.querySelector('.frame').style.getPropertyValue('--wipe')"))
        page.wait_for_timeout(150)
    assert seen == {"0%", "100%"}
    assert not faults and all(url.startswith(("file:", "data:")) for url in asked)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(browser: Any, report: Path, scheme: str) -> None:
    """Guards contrast: text and drawings take the colours of the reader's choice; nothing is wider than the window."""
    page = browser.new_page(viewport={"width": 500, "height": 900}, color_scheme=scheme)
    page.goto(report.as_uri())
    paper, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    drawn = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    light = {name: sum(map(int, text[4:-1].split(","))) for name, text in (("paper", paper), ("ink", ink))}
    assert (light["paper"] > light["ink"] + 400) if scheme == "light" else (light["ink"] > light["paper"] + 400)
    assert drawn == ink
    assert page.evaluate("document.documentElement.scrollWidth") <= 500
    page.close()
