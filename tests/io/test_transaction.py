"""Outputs appear all together or not at all, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.io import transaction
from voxprior.io.outputs import Transaction, write_json, write_volume
from voxprior.volume import Volume

needs_posix_rights = pytest.mark.skipif(not hasattr(os, "seteuid"), reason="rights as POSIX has them")


def volume() -> Volume:
    return Volume(np.random.default_rng(1).normal(size=(16, 16, 16)).astype(np.float32), np.eye(4))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def write_two(folder: Path, **options: Any) -> None:
    with Transaction(**options) as out:
        for name in ("a.json", "b.json"):
            out.path(folder / name).write_text(f"new {name}")


def test_all_files_appear_and_nothing_else(tmp_path: Path) -> None:
    """Guards the plain case: files under their names, with usual rights, no temporary file left."""
    write_two(tmp_path)
    assert contents(tmp_path) == {"a.json": b"new a.json", "b.json": b"new b.json"}
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_nothing_is_visible_before_the_end(tmp_path: Path) -> None:
    """Guards readers of the folder against half-written files under final names."""
    with Transaction() as out:
        out.path(tmp_path / "a.json").write_text("x")
        assert not (tmp_path / "a.json").exists()
        assert all(p.name.startswith(".voxprior-") for p in tmp_path.iterdir())


def test_temporary_names_do_not_tell_the_target(tmp_path: Path) -> None:
    """Guards a patient's name in a file name: it must not stay behind in a temporary name after a crash."""
    with Transaction() as out:
        temporary = out.path(tmp_path / "DOE_JANE.nii.gz")
        assert "DOE" not in temporary.name and temporary.name.endswith(".nii.gz")
        write_volume(temporary, volume())


@pytest.mark.parametrize(
    "fault", [KeyboardInterrupt, SystemExit(3), ValueError("x"), OSError(errno.EIO, "io")]
)
def test_any_failure_leaves_the_folder_as_it_was(tmp_path: Path, fault: BaseException) -> None:
    """Guards older files and the folder against a run that dies while it writes."""
    (tmp_path / "a.json").write_text("old")
    with pytest.raises(fault if isinstance(fault, type) else type(fault)), Transaction(force=True) as out:
        out.path(tmp_path / "a.json").write_text("new")
        out.path(tmp_path / "b.json").write_text("new")
        raise fault
    assert contents(tmp_path) == {"a.json": b"old"}


CALLS = ["link", "replace", "fsync", "stat", "open"]


@pytest.mark.parametrize("older", ["none", "one", "both"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "io")]
)
def test_a_fault_at_any_step_of_the_end_leaves_all_old_or_all_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, when: str, older: str
) -> None:
    """Guards each system call of the commit, before and after it acts: no mixture, no loss, no temporary
    file.
    """
    names = {"none": (), "one": ("b.json",), "both": ("a.json", "b.json")}[older]
    old = {name: f"old {name}".encode() for name in names}
    new = {"a.json": b"new a.json", "b.json": b"new b.json"}
    real = {name: getattr(os, name) for name in CALLS}
    countdown = [0]

    def faulty(call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **keywords: Any) -> Any:
            countdown[0] -= 1
            if countdown[0] == 0 and when == "before":
                raise fault
            result = call(*args, **keywords)
            if countdown[0] == 0:
                raise fault
            return result

        return act

    outcomes = set()
    for step in range(1, 60):
        folder = tmp_path / str(step)
        folder.mkdir()
        for name, content in old.items():
            (folder / name).write_bytes(content)
        try:
            with Transaction(force=True) as out:
                for name in new:
                    out.path(folder / name).write_text(f"new {name}")
                for name in CALLS:
                    monkeypatch.setattr(transaction.os, name, faulty(real[name]))
                countdown[0] = step
            failed = False
        except (KeyboardInterrupt, InputError):
            failed = True
        finally:
            for name in CALLS:
                monkeypatch.setattr(transaction.os, name, real[name])
        found = contents(folder)
        outcomes.add(failed)
        assert found in (old, new), (step, found)
        assert failed or found == new
        if countdown[0] > 0:
            break
    assert outcomes == {True, False}, "the loop must have hit a step and have come past the last one"


def test_a_second_rename_that_fails_brings_the_first_file_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards --force over two files: the first is replaced, the second cannot be, both must stay."""
    old = {"a.json": b"old a", "b.json": b"old b"}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    real = os.replace

    def fail_on_second(source: Path, target: Path) -> None:
        if target.name == "b.json" and source.suffix == ".json":
            raise OSError(errno.EACCES, "no")
        real(source, target)

    monkeypatch.setattr(transaction.os, "replace", fail_on_second)
    with pytest.raises(InputError, match="cannot write"):
        write_two(tmp_path, force=True)
    assert contents(tmp_path) == old


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_system_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Guards USB sticks and network shares, where backups and publication are renames."""
    (tmp_path / "b.json").write_bytes(b"old b")

    def no_link(*args: Any, **keywords: Any) -> None:
        raise OSError(errno.EPERM, "not permitted")

    real = os.replace

    def no_replace(source: Path, target: Path) -> None:
        if source.suffix == ".json":
            raise OSError(errno.EACCES, "no")
        real(source, target)

    monkeypatch.setattr(transaction.os, "link", no_link)
    if fails:
        monkeypatch.setattr(transaction.os, "replace", no_replace)
        with pytest.raises(InputError):
            write_two(tmp_path, force=True)
        assert contents(tmp_path) == {"b.json": b"old b"}
    else:
        write_two(tmp_path, force=True)
        assert contents(tmp_path) == {"a.json": b"new a.json", "b.json": b"new b.json"}


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_during_the_run_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Guards two runs with one output name: the later one must not destroy the earlier one's result."""
    if not links:
        monkeypatch.delattr(transaction.os, "link")
        monkeypatch.setattr(transaction.os, "link", _raise_eperm, raising=False)
    with pytest.raises(InputError, match="meanwhile"), Transaction() as out:
        out.path(tmp_path / "a.json").write_text("mine")
        out.path(tmp_path / "b.json").write_text("mine")
        (tmp_path / "b.json").write_text("theirs")
    assert contents(tmp_path) == {"b.json": b"theirs"}


def _raise_eperm(*args: Any, **keywords: Any) -> None:
    raise OSError(errno.EPERM, "not permitted")


def test_an_output_that_was_never_written_is_a_fault(tmp_path: Path) -> None:
    """Guards against publishing an empty file under the name of a result."""
    with pytest.raises(RuntimeError, match="never written"), Transaction() as out:
        out.path(tmp_path / "a.json")
    assert contents(tmp_path) == {}


def refusals(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "old.nii").write_bytes(b"old")
    (folder / "sub.nii").mkdir()
    (folder / "input.nii").write_bytes(b"input")
    (folder / "link.nii").symlink_to(folder / "input.nii")
    (folder / "device.nii").symlink_to("/dev/null")
    (folder / "dangling.nii").symlink_to(folder / "nowhere.nii")
    return {
        "exists": (folder / "old.nii", "exists already; use --force"),
        "folder": (folder / "sub.nii", "a folder"),
        "input": (folder / "input.nii", "is the input"),
        "input by another name": (folder / "x" / ".." / "input.nii", "is the input|does not exist"),
        "link to the input": (folder / "link.nii", "is the input"),
        "device": (folder / "device.nii", "not a regular file"),
        "dangling link": (folder / "dangling.nii", "exists already"),
        "no folder": (folder / "none" / "a.nii", "create it first"),
        "file as folder": (folder / "old.nii" / "a.nii", "create it first"),
        "kind": (folder / "a.docx", "must end in one of"),
        "name too long": (folder / ("n" * 300 + ".nii"), "cannot be written"),
    }


REFUSALS = [
    "exists",
    "folder",
    "input",
    "input by another name",
    "link to the input",
    "device",
    "dangling link",
]
REFUSALS += ["no folder", "file as folder", "kind", "name too long"]


def test_every_refusal_is_tried(tmp_path: Path) -> None:
    """Guards the list below against a case that is described and never run."""
    assert list(refusals(tmp_path)) == REFUSALS


@pytest.mark.parametrize("case", REFUSALS)
def test_a_bad_target_is_refused_before_any_work(tmp_path: Path, case: str) -> None:
    """Guards each way in which a target cannot be written: told at once, in one line that names it, without
    a trace.
    """
    target, pattern = refusals(tmp_path)[case]
    before = sorted(tmp_path.rglob("*"))
    out = Transaction(inputs=[tmp_path / "input.nii"])
    for act in (lambda: out.check([target]), lambda: out.path(target)):
        with pytest.raises(InputError, match=pattern) as caught:
            act()
        assert "\n" not in str(caught.value) and target.name in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("case", ["input", "link to the input", "device", "folder"])
def test_force_never_replaces_inputs_devices_or_folders(tmp_path: Path, case: str) -> None:
    """Guards the input file, and /dev/null, against --force."""
    target, pattern = refusals(tmp_path)[case]
    with pytest.raises(InputError, match=pattern):
        Transaction(force=True, inputs=[tmp_path / "input.nii"]).check([target])


def test_good_targets_pass_and_leave_no_trace(tmp_path: Path) -> None:
    """Guards the check against refusing what can be written, and against litter of its probe."""
    (tmp_path / "old.nii").write_bytes(b"old")
    Transaction(force=True).check([tmp_path / "old.nii", tmp_path / "a.nii.gz", tmp_path / "a.json"])
    assert contents(tmp_path) == {"old.nii": b"old"}


def test_a_read_only_file_system_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards a mounted CD or snapshot, which refuses the removal of the probe as well."""

    def refuse(*args: Any, **keywords: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(transaction.os, "open", refuse)
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(InputError, match="cannot write into this folder .Read-only file system"):
            Transaction().check([tmp_path / "a.nii"])


def test_two_outputs_of_one_name(tmp_path: Path) -> None:
    """Guards --report out.json against the sidecar of out.nii."""
    with pytest.raises(InputError, match="two outputs"):
        Transaction().check([tmp_path / "a.json", tmp_path / "." / "a.json"])
    with pytest.raises(InputError, match="two outputs"), Transaction() as out:
        out.path(tmp_path / "a.json")
        out.path(tmp_path / "a.json")
    assert contents(tmp_path) == {}


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder that the process may read and not write, also when the tests run as root."""
    folder = Path(tempfile.mkdtemp())
    (folder / "old.nii").write_bytes(b"old")
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        (folder / "old.nii").unlink()
        folder.rmdir()


@needs_posix_rights
def test_a_read_only_folder_is_refused_before_any_work(foreign_folder: Path) -> None:
    """Guards against an hour of work that cannot be saved."""
    out = Transaction(force=True)
    with pytest.raises(InputError, match="cannot write into this folder"):
        out.check([foreign_folder / "a.nii"])
    with pytest.raises(InputError, match="cannot write into this folder"):
        write_volume(foreign_folder / "b.nii", volume())
    assert contents(foreign_folder) == {"old.nii": b"old"}


def test_further_interrupts_do_not_stop_the_cleaning_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against an impatient second and third Ctrl-C while temporary files are being removed."""
    real, left = Path.unlink, [2]

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        if left[0]:
            left[0] -= 1
            raise KeyboardInterrupt
        real(path, missing_ok)

    with pytest.raises(KeyboardInterrupt), Transaction() as out:
        out.path(tmp_path / "a.json").write_text("x")
        monkeypatch.setattr(Path, "unlink", interrupted)
        raise KeyboardInterrupt
    assert left == [0]
    assert contents(tmp_path) == {}


def test_write_json_alone_is_atomic_too(tmp_path: Path) -> None:
    """Guards writers that are called outside a transaction: new files only, complete or not at all."""
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(InputError, match="exists already"):
        write_json(tmp_path / "a.json", {"x": 2})
    with pytest.raises(ValueError):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert contents(tmp_path) == {"a.json": b'{\n  "x": 1\n}\n'}
