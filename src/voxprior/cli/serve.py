"""``voxprior serve``: the door for browsers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from voxprior.cli.show import say


def serve(
    *,
    port: int = 8765,
    folder: Path | None = None,
    max_upload: float = 4.0,
    keep_hours: float = 24.0,
    browser: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Restore scans in a browser on this machine: drop a scan, choose, watch, compare, download.

    Example: voxprior serve --browser

    It answers on 127.0.0.1 alone, and only to who has the link that it prints. Ctrl-C ends it; what waits is taken up
    at the next start.

    Parameters
    ----------
    port
        Port to answer on; 0 for any that is free.
    folder
        Folder for queue, scans and results; by default one of your own that is found again after a restart.
    max_upload
        GiB that a scan may have.
    keep_hours
        Hours after which scans and results are removed.
    browser
        Open the link in the browser.
    """
    from voxprior.errors import InputError
    from voxprior.web.limits import GIB, Limits
    from voxprior.web.serve import default_folder
    from voxprior.web.serve import serve as run

    if not 0 <= port < 65536:
        raise InputError(f"--port {port} must lie within 0-65535")
    if not (max_upload > 0 and keep_hours > 0):
        raise InputError("--max-upload and --keep-hours must be above 0")
    size = int(max_upload * GIB)
    limits = Limits(upload=size, unpacked=2 * size, stored=8 * size, keep_hours=keep_hours)

    def ready(link: str) -> None:
        say(f"voxprior serve: {link}")
        say("Ctrl-C ends it; not for diagnosis")
        _flush()
        if browser:
            import webbrowser

            webbrowser.open(link)

    run(default_folder() if folder is None else folder, port, limits, ready)
    return 0


def _flush() -> None:
    import sys

    sys.stdout.flush()
