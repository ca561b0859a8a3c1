"""Run the server until it is told to end."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from voxprior.errors import InputError
from voxprior.web.limits import Limits

LOOPBACK = "127.0.0.1"


def default_folder() -> Path:
    """Where the queue and its files lie unless told otherwise: of this user, and there after a restart."""
    if sys.platform == "win32":
        state = Path(os.environ.get("LOCALAPPDATA", "") or Path.home() / "AppData" / "Local")
    else:
        state = Path(os.environ.get("XDG_STATE_HOME", "") or Path.home() / ".local" / "state")
    return state / "voxprior" / "serve"


def serve(folder: Path, port: int, limits: Limits, ready: Callable[[str], None]) -> None:
    """Answer on loopback until interrupted; ``ready`` gets the link, token included, once the port is taken.

    ``port``: 0 for any that is free. Raises :class:`InputError` without the extra ``web``, for a port that is taken,
    and for a folder that another server uses.
    """
    try:
        import uvicorn

        from voxprior.web.app import Settings, create_app
    except ImportError:
        raise InputError("voxprior serve needs the extra 'web'; pip install 'voxprior[web]'") from None
    door = _bind(port)
    token = secrets.token_urlsafe(32)
    number = int(door.getsockname()[1])
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        app = create_app(Settings(folder, token, number, limits))
    except OSError as error:
        raise InputError(f"--folder cannot be used ({error.strerror}); give another") from None
    # Neither does the log name what was asked, for it would hold the token.
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=75,  # longer than a browser waits before it takes a connection up again
        ws="none",
    )
    ready(f"http://{LOOPBACK}:{number}/?token={token}")
    asyncio.run(uvicorn.Server(config).serve(sockets=[door]))


def _bind(port: int) -> socket.socket:
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform != "win32":
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((LOOPBACK, port))
        door.listen(512)
    except OSError as error:
        door.close()
        raise InputError(f"--port {port} cannot be used ({error.strerror}); give another, or 0 for any") from None
    return door
