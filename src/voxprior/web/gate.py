"""What every request must pass before anything looks at it: host, origin, token, size; and what every answer says."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_JSON = 64 * 1024
"""Bytes of any request but those that bring a scan."""
SCANS = "/api/uploads/"
"""Where a PUT brings a scan; its bytes are counted there."""
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' data: blob:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Gate:
    """``app`` for those who know the token, from a page of this server, by one of the names ``hosts``.

    The link with ``?token=`` answers with a cookie; a program sends ``Authorization: Bearer TOKEN``.
    """

    def __init__(self, app: App, token: str, hosts: frozenset[str], cookie: str) -> None:
        self.app, self.token, self.hosts, self.cookie = app, token, hosts, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
        elif scope["path"] == "/" and self._has_right_link(scope):
            cookie = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 303, "", {"location": "/", "set-cookie": cookie})
        elif not self._knows_token(headers):
            await _answer(send, 401, "open the link that voxprior serve printed: it holds the token")
        else:
            await self.app(scope, _limited(scope, receive), _labelled(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if host not in self.hosts:  # a foreign name that leads to this machine
            return 421, "this server answers under its loopback address only"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "a page of another origin may not ask"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and scope["path"] != "/":
            return 403, "a page of another origin may not ask"
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "the length of the content is no number"
        if int(length) > MOST_JSON and not _brings_scan(scope):
            return 413, "the request is too large"
        return None

    def _has_right_link(self, scope: Scope) -> bool:
        query: bytes = scope.get("query_string", b"")
        given = parse_qs(query.decode("latin-1")).get("token", [""])[0]
        return self._is_token(given)

    def _knows_token(self, headers: dict[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given):
            return True
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return found is not None and self._is_token(str(found.value))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8"), self.token.encode("utf-8"))


def _brings_scan(scope: Scope) -> bool:
    return str(scope["method"]) == "PUT" and str(scope["path"]).startswith(SCANS)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Count what comes in without a stated length; a request that grows too large ends as if the caller had gone."""
    if _brings_scan(scope):
        return receive
    size = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return message if size <= MOST_JSON else {"type": "http.disconnect"}

    return counted


def _labelled(send: Send) -> Send:
    async def labelled(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message["headers"]}
            extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return labelled


async def _answer(send: Send, status: int, reason: str, more: dict[str, str] | None = None) -> None:
    body = json.dumps({"error": reason}).encode() if reason else b""
    headers = {
        **HEADERS,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close" if status >= 400 else "keep-alive",
        **(more or {}),
    }
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
