"""The viewer in a real browser: a server of its own, headless Chromium, and a page on which nothing may go wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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


def give(page: Any, *files: Path) -> None:
    """Bring ``files``, each a scan, and wait until they are ready."""
    page.locator("#file").set_input_files([str(path) for path in files])
    page.get_by_text("Ready:").wait_for()
