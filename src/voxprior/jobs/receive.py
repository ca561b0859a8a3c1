"""A node that restores the series it is sent, and sends the derived ones on."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom.derived import MAKER
from voxprior.io.dicom.inbox import Inbox
from voxprior.io.dicom.node import Peer, listening, send
from voxprior.io.names import shown
from voxprior.jobs.folder import make_folder
from voxprior.jobs.options import DicomOptions, SrOptions, require_method
from voxprior.jobs.sr_request import SrRequest, prepare

POLL = 0.2
"""Seconds between looks at the inbox."""


@dataclass(frozen=True)
class ReceiveRequest:
    """Listen at ``own``, restore with ``options``, write to the folder ``target`` and send to ``forward``, or either.

    ``callers``: AE titles that may send, all by default. ``quiet``: seconds without a new image after which a series
    is complete.
    """

    own: Peer
    options: SrOptions
    target: Path | None = None
    forward: Peer | None = None
    callers: tuple[str, ...] = ()
    quiet: float = 5.0
    dicom: DicomOptions = field(default_factory=DicomOptions)


@dataclass(frozen=True)
class Tell:
    """Where lines go: ``say`` what was done, ``warn`` what was not."""

    say: Callable[[str], None]
    warn: Callable[[str], None]


@dataclass
class Tally:
    """Series that were restored, that could not be, and that were not yet begun at the end."""

    restored: int = 0
    failed: int = 0
    left: int = 0


def receive(request: ReceiveRequest, tell: Tell, stop: threading.Event) -> Tally:
    """Receive and restore until ``stop`` is set or Ctrl-C comes, one series after the other; of a bad one is told.

    Lines name series by a digest: nothing a sender says of a patient is in them. Raises :class:`InputError` when the
    address or the folder cannot be used.
    """
    require_method("sr", request.options)
    if request.target is None and request.forward is None:
        raise InputError("nowhere to put results; give -o FOLDER, or --forward TITLE@HOST:PORT, or both")
    if request.target is not None:
        make_folder(request.target)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="voxprior-") as scratch:
        inbox = Inbox(Path(scratch) / "inbox", request.quiet)
        inbox.folder.mkdir()
        with listening(request.own, inbox, request.callers) as port:
            tell.say(f"{request.own.title} listens at {request.own.host}:{port}")
            with suppress(KeyboardInterrupt):  # how a node is told to stop
                _work(request, inbox, tally, tell, stop)
        tally.left += inbox.waiting
    return tally


def _work(request: ReceiveRequest, inbox: Inbox, tally: Tally, tell: Tell, stop: threading.Event) -> None:
    while not stop.is_set():
        arrived = inbox.take()
        if arrived is None:
            stop.wait(POLL)
            continue
        tally.left += 1
        _serve(request, arrived, tally, tell)
        tally.left -= 1
        shutil.rmtree(arrived.parent, ignore_errors=True)


def _serve(request: ReceiveRequest, arrived: Path, tally: Tally, tell: Tell) -> None:
    name = arrived.name
    try:
        folder = restore_series(request, arrived)
        if request.forward is not None:
            send(sorted(folder.glob("*.dcm")), request.forward, request.own.title)
    except InputError as error:
        tally.failed += 1
        tell.warn(f"{name}: {str(error).replace(f'{shown(arrived)}: ', '')}")
    except Exception as error:  # one series must not take the node with it; what it says may quote a header
        tally.failed += 1
        tell.warn(f"{name}: failed unexpectedly ({type(error).__name__})")
    else:
        tally.restored += 1
        tell.say(f"{name}: restored" + ("" if request.forward is None else f" and sent to {request.forward.title}"))


def restore_series(request: ReceiveRequest, arrived: Path) -> Path:
    """Restore the series in the folder ``arrived``; the folder of the derived one.

    It lies in ``request.target`` (an earlier result of the same series is replaced), or beside ``arrived``.
    """
    target = (request.target or arrived.parent) / (arrived.name if request.target else f"{arrived.name}-derived")
    dicom = request.dicom.model_copy(update={"dicom": True})
    prepared = prepare(SrRequest(arrived, target, request.options, force=True, dicom=dicom))
    for frame in prepared.frames:
        if frame.volume.header["dicom"].template.get("Manufacturer") == MAKER:
            raise InputError("was derived by this program already, and is not restored again")
    from voxprior.jobs.sr_files import run

    run(prepared)
    return target
