"""A node on a DICOM network: it receives images into an inbox, answers an echo, and sends series on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.io.dicom.datasets import CLASSIC, ENHANCED, require_pydicom, told
from voxprior.io.dicom.inbox import Inbox
from voxprior.io.dicom.packed import PACKED, RUN_LENGTH, has_codecs

UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Explicit and implicit little endian, which every archive can send."""
ECHO = "1.2.840.10008.1.1"
SUCCESS, NO_ROOM, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
WARNINGS = (0xB000, 0xB006, 0xB007)
"""Answers of a receiver that stored the image all the same."""
TIMEOUT = 30.0
MOST_TITLE = 16
MOST_ASSOCIATIONS = 16
TRIES, PAUSE = 3, 2.0


@dataclass(frozen=True)
class Peer:
    """Where a node listens: its AE title, host and port."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Peer:
        """``TITLE@HOST:PORT``; :class:`InputError` for anything else."""
        title, at, place = text.rpartition("@")
        host, colon, port = place.rpartition(":")
        if not (at and colon and host and port.isdecimal() and 0 < int(port) < 65536):
            raise InputError(f"{text}: not the address of a node; give TITLE@HOST:PORT, such as PACS@10.0.0.7:104")
        return cls(require_title(title), host.strip("[]"), int(port))


def require_title(title: str) -> str:
    """``title`` if it may be an AE title: 1 to 16 printable characters, no backslash; otherwise :class:`InputError`."""
    plain = title.isascii() and title.isprintable() and "\\" not in title
    if not (plain and title.strip() and len(title) <= MOST_TITLE):
        raise InputError(f"'{title}' is no AE title; give 1 to 16 letters, such as VOXPRIOR")
    return title.strip()


@contextmanager
def listening(own: Peer, inbox: Inbox, callers: Sequence[str] = ()) -> Iterator[int]:
    """Receive MR and CT images addressed to ``own.title`` into ``inbox`` while the context is open; gives the port.

    ``callers``: AE titles that may send; all by default. Port 0 takes a free one. Raises :class:`InputError` when
    the address cannot be used.
    """
    netdicom = _pynetdicom()
    ae = netdicom.AE(ae_title=own.title)
    ae.require_called_aet = True
    ae.require_calling_aet = list(callers)
    ae.maximum_associations = MOST_ASSOCIATIONS
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = TIMEOUT
    for uid in (*CLASSIC, *ENHANCED):
        ae.add_supported_context(uid, [*UNCOMPRESSED, RUN_LENGTH, *(PACKED if has_codecs() else ())])
    ae.add_supported_context(ECHO)
    ends = (netdicom.evt.EVT_RELEASED, netdicom.evt.EVT_ABORTED, netdicom.evt.EVT_CONN_CLOSE)
    handlers = [(netdicom.evt.EVT_C_STORE, _keep, [inbox]), *((event, _ended, [inbox]) for event in ends)]
    try:
        server = ae.start_server((own.host, own.port), block=False, evt_handlers=handlers)
    except OSError as error:
        raise InputError(f"{own.host}:{own.port}: cannot listen here ({error.strerror}); give another --port") from None
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


def send(images: Sequence[Path], peer: Peer, own_title: str) -> None:
    """Store every one of ``images`` (classic MR or CT) at ``peer``; tries again when it is not there.

    Raises :class:`InputError` when the peer cannot be reached or does not take an image.
    """
    for attempt in range(TRIES):
        try:
            _send(images, peer, own_title)
            return
        except InputError:
            if attempt == TRIES - 1:
                raise
            time.sleep(PAUSE)


def _send(images: Sequence[Path], peer: Peer, own_title: str) -> None:
    from pydicom import dcmread

    netdicom = _pynetdicom()
    ae = netdicom.AE(ae_title=own_title)
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = TIMEOUT
    for uid in CLASSIC:
        ae.add_requested_context(uid, list(UNCOMPRESSED))
    name = f"{peer.title}@{peer.host}:{peer.port}"
    association = ae.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        raise InputError(f"{name}: does not answer, or refuses the association; check address and titles")
    try:
        for path in images:
            with told(path.name):
                status = association.send_c_store(dcmread(path))
            code = status.Status if "Status" in status else None
            if code != SUCCESS and code not in WARNINGS:
                shown = "no answer" if code is None else f"status 0x{code:04X}"
                raise InputError(f"{name}: did not take image {path.name} ({shown}); see its log")
    finally:
        association.release()


def _keep(event: Any, inbox: Inbox) -> int:
    """Answer to an image that arrives."""
    try:
        head = event.dataset
        series, instance = str(head.SeriesInstanceUID), str(event.request.AffectedSOPInstanceUID)
        content = event.encoded_dataset()
    except Exception:  # what a sender may send is anything
        return NOT_UNDERSTOOD
    try:
        return SUCCESS if inbox.store(id(event.assoc), series, instance, content) else NO_ROOM
    except OSError:
        return NO_ROOM


def _ended(event: Any, inbox: Inbox) -> None:
    inbox.ended(id(event.assoc))


def _pynetdicom() -> Any:
    """The library, with its log off: what it says of an image may name a patient."""
    require_pydicom()
    try:
        import pynetdicom
    except ImportError:
        raise InputError("a DICOM node needs the extra 'dicom'; pip install 'voxprior[dicom]'") from None
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    return pynetdicom
