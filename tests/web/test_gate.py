"""Who gets in, and what every answer says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from web.server import PORT, TOKEN, Client, Start

PATHS = ["/", "/page.js", "/niivue.js", "/api/form", "/api/jobs", "/api/events", "/docs", "/openapi.json", "/nothing"]
OWN = f"http://127.0.0.1:{PORT}"


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_told_without_the_token(path: str, start: Start) -> None:
    """Guards every path, those that do not exist included: another user of the machine learns nothing."""
    stranger = start()
    for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": f"voxprior-{PORT}=wrong"}, {"cookie": "=;=,"}):
        answer = stranger.get(path, headers=headers)
        assert answer.status_code == 401
        assert TOKEN not in answer.text and "Voxprior" not in answer.text
    assert stranger.post("/api/uploads").status_code == 401
    assert stranger.put("/api/uploads/0123456789abcdef/files", content=b"x").status_code == 401


def test_the_link_gives_a_cookie_that_only_this_server_gets(start: Start) -> None:
    """Guards the token: out of the address bar at once, out of the reach of scripts and of other sites."""
    browser = start()
    answer = browser.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert "<title>Voxprior</title>" in browser.get("/").text
    assert start_wrong(browser) == 401


def start_wrong(browser: Client) -> int:
    browser.cookies.clear()
    return int(browser.get("/?token=wrong", follow_redirects=False).status_code)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"origin": f"http://localhost:{PORT}"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_origin_is_refused(headers: dict[str, str], client: Client) -> None:
    """Guards against a web page elsewhere that sends its visitor's cookie here."""
    assert client.post("/api/uploads", headers=headers).status_code == 403
    assert client.get("/api/jobs", headers=headers).status_code == 403
    assert client.post("/api/uploads", headers={"origin": OWN, "sec-fetch-site": "same-origin"}).status_code == 201


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "", f"127.0.0.1:{PORT + 1}"])
def test_another_name_of_this_machine_is_refused(host: str, client: Client) -> None:
    """Guards against a foreign name that its owner points to 127.0.0.1 (DNS rebinding)."""
    assert client.get("/api/jobs", headers={"host": host}).status_code == 421


def test_a_large_request_that_is_no_scan_is_refused(client: Client) -> None:
    """Guards memory: JSON is parsed in it, so it must be small, whether its length is stated or not."""

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b" " * 65536

    assert client.post("/api/jobs", content=b" " * 100_000).status_code == 413
    answer = client.post("/api/jobs", content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413, 422)
    assert client.get("/api/jobs", headers={"content-length": "-1"}).status_code == 400


def test_every_answer_forbids_foreign_content(client: Client) -> None:
    """Guards the page: scripts, styles and connections of this server only, in no frame, kept nowhere."""
    for path in PATHS[:5]:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_the_page_needs_no_other_server_and_writes_no_html() -> None:
    """Guards privacy and against script in a text: no foreign address, and texts go in as texts."""
    from voxprior.web.app import STATIC

    own = [p for p in Path(STATIC).iterdir() if p.name not in ("niivue.js", "niivue-licences.txt", "icon.svg")]
    assert {p.name for p in own} == {"page.html", "page.css", "page.js", "scans.js", "form.js", "viewer.js"}
    for path in own:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|style=", text)
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=", text)


def test_the_viewer_is_the_one_whose_licences_are_beside_it() -> None:
    """Guards the bundle: its digest, size and notices belong together; nothing in it compiles texts."""
    import hashlib

    from voxprior.web.app import STATIC

    bundle = (Path(STATIC) / "niivue.js").read_bytes()
    licences = (Path(STATIC) / "niivue-licences.txt").read_text(encoding="utf-8")
    assert hashlib.sha256(bundle).hexdigest() in licences
    assert len(bundle) < 3 << 20
    assert not re.search(rb"new Function|\beval\(|importScripts", bundle)
    parts = ("NiiVue", "gl-matrix", "nifti-reader-js", "fflate", "uuid", "array-equal", "structured-clone", "Roboto")
    assert not [name for name in parts if name not in licences]
