"""A node gathers what arrives into series, knows when one is complete, and answers as the standard has it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1, RLELossless

import lossless_jpeg
from dicoms import MR, SECRETS, thick
from voxprior.errors import InputError
from voxprior.io.dicom import inbox as inbox_module
from voxprior.io.dicom import read_dicom
from voxprior.io.dicom.inbox import Inbox
from voxprior.io.dicom.node import Peer, listening, require_title, send
from voxprior.jobs.options import DicomOptions, SrOptions
from voxprior.jobs.receive import ReceiveRequest, Tally, Tell, receive


class Clock:
    """Time that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_series_is_complete_when_its_sender_is_gone_and_it_is_quiet(tmp_path: Path, clock: Clock) -> None:
    """Half a series is not begun."""
    inbox = Inbox(tmp_path, 5.0, clock)
    assert inbox.store(1, "1.2.3", "1.2.3.1", b"a") and inbox.store(1, "1.2.3", "1.2.3.2", b"b")
    clock.now += 6
    assert inbox.take() is None, "the association is still open"
    inbox.ended(1)
    folder = inbox.take()
    assert folder is not None and sorted(p.read_bytes() for p in folder.iterdir()) == [b"a", b"b"]
    assert inbox.take() is None and inbox.waiting == 0


def test_an_association_for_each_image_is_one_series(tmp_path: Path, clock: Clock) -> None:
    """Guards against senders that hang up after each image."""
    inbox = Inbox(tmp_path, 5.0, clock)
    for association in range(3):
        inbox.store(association, "1.2.3", f"1.2.3.{association}", b"x")
        inbox.ended(association)
        clock.now += 4
        assert inbox.take() is None
    clock.now += 1.1
    folder = inbox.take()
    assert folder is not None and len(list(folder.iterdir())) == 3


def test_an_association_that_never_ends_does_not_hold_a_series_for_ever(tmp_path: Path, clock: Clock) -> None:
    """Guards against senders that never hang up."""
    inbox = Inbox(tmp_path, 5.0, clock)
    inbox.store(1, "1.2.3", "1.2.3.1", b"x")
    clock.now += 51
    assert inbox.take() is not None


def test_images_sent_twice_are_kept_once_and_names_say_nothing(tmp_path: Path, clock: Clock) -> None:
    """UIDs hold dates and may hold paths: only their digest is a name."""
    inbox = Inbox(tmp_path, 1.0, clock)
    for _ in range(2):
        inbox.store(1, "1.2.99.77", "../../1.2.99.77.5", b"x")
    names = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")]
    assert len(names) == 2
    assert not any("99" in name and "77" in name for name in names)


def test_a_series_without_end_is_turned_away(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the disk."""
    monkeypatch.setattr(inbox_module, "MOST_BYTES", 10)
    inbox = Inbox(tmp_path, 1.0, clock)
    assert inbox.store(1, "1.2", "1.2.1", bytes(8))
    assert not inbox.store(1, "1.2", "1.2.2", bytes(8))


@pytest.mark.parametrize(
    "text", ["PACS", "PACS@host", "@host:104", "PACS@host:0", "PACS@host:x", "A" * 17 + "@h:1", "P\\@h:1"]
)
def test_addresses_that_are_none(text: str) -> None:
    """A typing error in an address is told at once."""
    with pytest.raises(InputError, match="give"):
        Peer.parse(text)


def test_addresses() -> None:
    """Title, host and port, of IPv6 too."""
    assert Peer.parse("PACS@10.0.0.7:104") == Peer("PACS", "10.0.0.7", 104)
    assert Peer.parse("PACS@[::1]:104").host == "::1"
    assert require_title(" VOX ") == "VOX"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[tuple[Inbox, Peer]]:
    """A node on a free port of the loopback that only ANYONE may call."""
    inbox = Inbox(tmp_path / "inbox", 0.01)
    with listening(Peer("VOXPRIOR", "127.0.0.1", 0), inbox, ["ANYONE"]) as port:
        yield inbox, Peer("VOXPRIOR", "127.0.0.1", port)


def test_echo_and_store(node: tuple[Inbox, Peer], tmp_path: Path) -> None:
    """The two services that an archive asks of a node."""
    from pynetdicom import AE

    inbox, peer = node
    ae = AE(ae_title="ANYONE")
    ae.add_requested_context("1.2.840.10008.1.1")
    association = ae.associate(peer.host, peer.port, ae_title=peer.title)
    assert association.is_established and association.send_c_echo().Status == 0
    association.release()
    (tmp_path / "inbox").mkdir()
    series = thick()
    send(series.write(tmp_path / "in"), peer, "ANYONE")
    for _ in range(100):
        folder = inbox.take()
        if folder is not None:
            break
        threading.Event().wait(0.05)
    assert folder is not None
    assert (read_dicom(folder).data == series.values()).all()


def _packed(folder: Path) -> list[Dataset]:
    """A series of lossless JPEG."""
    found = []
    for path in thick().write(folder):
        ds = dcmread(path)
        ds.PixelData = encapsulate([lossless_jpeg.encode(ds.pixel_array, 16)])
        ds["PixelData"].VR = "OB"
        ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        found.append(ds)
    return found


def test_compressed_images_are_taken(node: tuple[Inbox, Peer], tmp_path: Path) -> None:
    """An archive that keeps its images as lossless JPEG sends them as they are."""
    from pynetdicom import AE

    inbox, peer = node
    (tmp_path / "inbox").mkdir()
    ae = AE(ae_title="ANYONE")
    ae.add_requested_context(MR, JPEGLosslessSV1)
    association = ae.associate(peer.host, peer.port, ae_title=peer.title)
    assert [association.send_c_store(ds).Status for ds in _packed(tmp_path / "in")] == [0] * 6
    association.release()
    assert (read_dicom(_wait(inbox.take)).data == thick().values()).all()


def test_without_codecs_compressed_images_are_not_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the sender, which unpacks when it is told that packed images are not taken."""
    from pynetdicom import AE

    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with listening(Peer("VOXPRIOR", "127.0.0.1", 0), Inbox(tmp_path, 1.0)) as port:
        ae = AE(ae_title="ANYONE")
        for syntax in (JPEGLosslessSV1, RLELossless):
            ae.add_requested_context(MR, syntax)
        association = ae.associate("127.0.0.1", port, ae_title="VOXPRIOR")
        accepted = [context.transfer_syntax[0] for context in association.accepted_contexts]
        association.release()
    assert accepted == [RLELossless]


def test_strangers_and_wrong_addresses_are_refused(
    node: tuple[Inbox, Peer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only who is named may send, and only to the right title."""
    from voxprior.io.dicom import node as node_module

    monkeypatch.setattr(node_module, "PAUSE", 0.0)
    _, peer = node
    images = thick().write(tmp_path / "in")[:1]
    for called, caller in ((peer, "STRANGER"), (Peer("OTHER", peer.host, peer.port), "ANYONE")):
        with pytest.raises(InputError, match="does not answer, or refuses"):
            send(images, called, caller)
    with pytest.raises(InputError, match="cannot listen here"), listening(peer, Inbox(tmp_path, 1.0)):
        pass


def test_results_need_a_place_to_go(tmp_path: Path) -> None:
    """A node that would throw its results away is told so before it listens."""
    request = ReceiveRequest(Peer("VOXPRIOR", "127.0.0.1", 0), SrOptions(method="cubic"))
    with pytest.raises(InputError, match="nowhere to put results"):
        receive(request, Tell(print, print), threading.Event())


def test_node_restores_sends_on_and_outlives_a_bad_series(tmp_path: Path) -> None:
    """One series without a slice, one good one, and one that is derived already: told, restored, told."""
    lines: list[str] = []
    stop = threading.Event()
    pacs = Inbox(tmp_path / "pacs", 0.2)
    pacs.folder.mkdir()
    good = thick(uid="1.2.3.30", shape=(5, 16, 16))
    out = tmp_path / "out"
    result: list[Tally] = []
    with listening(Peer("PACS", "127.0.0.1", 0), pacs) as pacs_port:
        forward = Peer("PACS", "127.0.0.1", pacs_port)
        own, options = Peer("VOXPRIOR", "127.0.0.1", 0), SrOptions(method="cubic")
        request = ReceiveRequest(own, options, out, forward, quiet=0.3, dicom=DicomOptions(uids="content"))
        tell = Tell(lines.append, lines.append)
        server = threading.Thread(target=lambda: result.append(receive(request, tell, stop)))
        server.start()
        try:
            _wait(lambda: lines)
            peer = Peer("VOXPRIOR", "127.0.0.1", int(lines[0].rpartition(":")[2]))
            send(thick(uid="1.2.3.20").write(tmp_path / "bad", [0, 1, 3, 4]), peer, "SCANNER")
            _wait(lambda: len(lines) > 1)
            send(good.write(tmp_path / "good", [2, 0, 4, 3, 1]), peer, "SCANNER")
            _wait(lambda: len(lines) > 2)
            folder = next(p for p in out.iterdir() if (p / "voxprior.json").exists())
            send(sorted(folder.glob("*.dcm")), peer, "SCANNER")
            _wait(lambda: len(lines) > 3)
        finally:
            stop.set()
            server.join()
        arrived = _wait(pacs.take)
    assert "missing between slices" in lines[1] and lines[1].startswith("series-")
    assert lines[2].endswith("restored and sent to PACS")
    assert "was derived by this program already" in lines[3]
    assert result == [Tally(restored=1, failed=2, left=0)]
    assert len(list(out.iterdir())) == 1
    sent, kept = read_dicom(arrived), read_dicom(folder)
    assert (sent.data == kept.data).all() and (sent.affine == kept.affine).all()
    assert dcmread(next(arrived.iterdir())).StudyInstanceUID == good.study
    assert not any(secret in line for secret in SECRETS for line in lines)


def _wait(ready: object, seconds: float = 60.0) -> object:
    """What ``ready`` gives once it gives something."""
    assert callable(ready)
    for _ in range(int(seconds / 0.05)):
        found = ready()
        if found:
            return found
        threading.Event().wait(0.05)
    raise AssertionError("nothing came")
