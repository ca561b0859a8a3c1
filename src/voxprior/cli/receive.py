"""``voxprior receive``: a DICOM node that restores what it is sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from voxprior.cli.show import say, warn
from voxprior.jobs.options import DicomOptions, SrOptions

if TYPE_CHECKING:
    from voxprior.jobs.receive import ReceiveRequest

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def receive(
    *,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    forward: str | None = None,
    title: str = "VOXPRIOR",
    host: str = "127.0.0.1",
    port: int = 11112,
    callers: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    wait: float = 5.0,
    uids: Literal["new", "content"] = "new",
    options: Annotated[SrOptions | None, Parameter(name="*")] = None,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Receive MR and CT series over a DICOM network, restore them, and send the derived series on, until stopped.

    Ctrl-C or SIGTERM stops it; a series that cannot be restored is told and does not stop it. DICOM has neither
    encryption nor passwords: give another host than the loopback only inside a network that you trust.

    Parameters
    ----------
    output
        Folder for the derived series, each in a folder of its own, named by a digest.
    forward
        Node to send the derived series to, TITLE@HOST:PORT.
    title
        AE title of this node.
    host
        Address to listen at; other machines reach it only if this is not the loopback.
    port
        Port to listen at; 0 takes a free one.
    callers
        AE titles that may send; all by default.
    wait
        Seconds without a new image after which a series is complete.
    uids
        UIDs of what is sent on: new ones, or the same for the same input, settings and result.
    options
        Settings of the restoration.
    quiet
        Print nothing but errors.
    verbose
        Show where an error arose.
    """
    from voxprior.errors import InputError
    from voxprior.io.dicom.node import Peer, require_title
    from voxprior.jobs.receive import ReceiveRequest

    if not (0 <= port < 65536 and wait > 0):
        raise InputError("--port must be within 0-65535, and --wait above 0")
    own = Peer(require_title(title), host, port)
    peer = None if forward is None else Peer.parse(forward)
    dicom = DicomOptions(uids=uids)
    return _serve(ReceiveRequest(own, options or SrOptions(), output, peer, callers, wait, dicom), quiet)


def _serve(request: ReceiveRequest, quiet: bool) -> int:
    import threading

    from voxprior.jobs.receive import Tell
    from voxprior.jobs.receive import receive as serve

    host = request.own.host
    if host not in LOOPBACK:
        warn(f"warning: listens at {host}, without encryption or passwords, as DICOM has none; trust this network")
    show = _quietly if quiet else _at_once
    tally = serve(request, Tell(show, warn), threading.Event())
    show(f"stopped: {tally.restored} series restored, {tally.failed} failed, {tally.left} not finished")
    return 0


def _at_once(line: str) -> None:
    """Print, also where the output is a log file."""
    say(line)
    sys.stdout.flush()


def _quietly(line: str) -> None:
    """Say nothing."""
