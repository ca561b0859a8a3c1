"""Weights from the hub: a server on this machine plays its part."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from voxprior.errors import InputError
from voxprior.registry import weights_place

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"small.safetensors": b"the weights", "small.json": b'{"name": "small"}', "sub/lone.safetensors": b"no card"}
FETCH = """
import sys
from voxprior.errors import InputError
from voxprior.priors.hub import fetch
from voxprior.registry import weights_place
try:
    path = fetch(weights_place(sys.argv[1]))
    print(path.read_text(), path.with_suffix(".json").read_text())
except InputError as error:
    print(error)
assert "torch" not in sys.modules
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does for one repository, ``me/heads``; counts what it gave away."""

    given = 0

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        Hub.given += "/resolve/" in self.path
        self._answer(None)

    def _answer(self, body: bytes | None) -> None:
        start, _, file = self.path.partition("/resolve/main/")
        content = FILES.get(file)
        if start != "/me/heads" or content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if start == "/me/heads" else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if body is None else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Address of the stand-in."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _fetch(name: str, cache: Path, endpoint: str, **environment: str) -> str:
    settings = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, name], env=settings, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_weights_are_fetched_once_and_then_found_without_network(endpoint: str, tmp_path: Path) -> None:
    """Guards repeatability: file and card come together, stay in the cache, and serve a machine without network."""
    name, both = "hf://me/heads/small.safetensors", 'the weights {"name": "small"}'
    assert _fetch(name, tmp_path, endpoint) == both
    given = Hub.given
    assert _fetch(name, tmp_path, endpoint) == both
    assert Hub.given == given, "nothing was downloaded twice"
    assert _fetch(name, tmp_path, "http://127.0.0.1:1", HF_HUB_OFFLINE="1") == both


def test_the_digest_that_was_asked_for_is_checked(endpoint: str, tmp_path: Path) -> None:
    """Guards against weights that changed under the same name: a study that pins a digest gets those or an error."""
    good = hashlib.sha256(b"the weights").hexdigest()
    assert _fetch(f"hf://me/heads/small.safetensors#sha256={good}", tmp_path, endpoint).startswith("the weights")
    told = _fetch(f"hf://me/heads/small.safetensors#sha256={'0' * 64}", tmp_path, endpoint)
    assert "sha256 is not the one asked for" in told


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hf://me/heads/none.safetensors", "no such file"),
        ("hf://me/heads/sub/lone.safetensors", "no card"),
        ("hf://me/feet/small.safetensors", "no such repository"),
    ],
)
def test_what_the_hub_does_not_have_is_told_apart(name: str, says: str, endpoint: str, tmp_path: Path) -> None:
    """Guards the message: a slip in the name must not read like a missing network."""
    told = _fetch(name, tmp_path, endpoint)
    assert says in told and told.startswith(f"--weights {name} cannot be fetched") and "\n" not in told


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_offline_it_says_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    """Guards hospitals: no network is the rule there, and the message names the way around it."""
    told = _fetch("hf://me/heads/small.safetensors", tmp_path, "http://127.0.0.1:1", **environment)
    assert "not reached" in told and "copy the file and its .json" in told and "\n" not in told


def test_the_extra_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the message for who installed the base alone."""
    from voxprior.priors.hub import fetch

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"voxprior\[hub\]"):
        fetch(weights_place("hf://me/heads/small.safetensors"))


def test_names_are_read() -> None:
    """Guards the grammar of --weights, and that no name leads out of a repository."""
    place = weights_place(f"hf://me/heads@v1.2/a/b.safetensors#sha256={'a' * 64}")
    assert (place.repository, place.revision, place.file) == ("me/heads", "v1.2", "a/b.safetensors")
    assert place.origin == "hub" and place.sha256 == "a" * 64
    assert weights_place("x/y.safetensors").origin == "file"
    assert weights_place("head-slices").origin == "bundled"
    for wrong in (
        *("hf://me/x.safetensors", "hf://me/heads/x.bin", "hf://me/heads/../x.safetensors", "hf://../heads/x.safetensors"),
        *("hf://me/heads/a//x.safetensors", "hf://me/heads/x.safetensors#sha256=12", "none", ""),
    ):
        with pytest.raises(InputError):
            weights_place(wrong)
