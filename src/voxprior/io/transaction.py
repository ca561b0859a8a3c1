"""All outputs of a run, or none: written beside their targets, made durable, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from voxprior.errors import InputError
from voxprior.io.names import any_suffix, shown

PREFIX = ".voxprior-"
"""How temporary names begin; nothing of the target's name is in them but its suffix."""

_NO_SPACE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "a size limit is hit",
}


def is_staged(path: Path) -> bool:
    """Whether ``path`` is a temporary path of a transaction."""
    return path.name.startswith(PREFIX)


def lack_of_space(error: BaseException, folder: str, bound: str, size: int) -> InputError | None:
    """What to tell the user when ``error`` means that ``folder`` is full; None for other errors.

    ``bound`` (``up to``, ``more than``) and ``size``, bytes, say what is needed.
    """
    if not isinstance(error, OSError) or error.errno not in _NO_SPACE:
        return None
    return InputError(
        f"{folder}: {_NO_SPACE[error.errno]}, {bound} {size / 1e6:.3g} MB are needed; "
        "free some or write elsewhere (nothing was left behind)"
    )


@dataclass
class _Staged:
    target: Path
    temporary: Path
    backup: Path
    identity: tuple[int, int] | None = None  # device and inode of what was published


class Transaction:
    """``with Transaction() as out: write(out.path(target))``: in the end all targets appear, or none.

    ``force`` lets targets replace older files, which stay as they were until every new file is safely on the
    disk, and come back if a later step fails. ``inputs``: files that no target may be. Raises
    :class:`InputError`.
    """

    def __init__(self, force: bool = False, inputs: Iterable[Path] = ()) -> None:
        self.force = force
        self.inputs = [Path(p) for p in inputs]
        self._staged: list[_Staged] = []
        self._done = False

    def check(self, targets: Iterable[Path]) -> None:
        """Refuse, before any work, targets that could not be written at the end; leaves no trace."""
        seen: set[str] = set()
        paths = [Path(target) for target in targets]
        for target in paths:
            self._require_writable(target)
            key = os.path.realpath(target)
            if key in seen:
                raise InputError(f"{shown(target)}: two outputs have this name; give one of them another")
            seen.add(key)
        for folder in {target.parent for target in paths}:
            probe = folder / (PREFIX + secrets.token_hex(8))
            try:
                _create(probe)
            finally:
                _uninterrupted(partial(_remove, probe))

    def path(self, target: Path) -> Path:
        """A temporary path beside ``target``, with its suffix, for the caller to write to."""
        target = Path(target)
        self._require_writable(target)
        if any(os.path.realpath(s.target) == os.path.realpath(target) for s in self._staged):
            raise InputError(f"{shown(target)}: two outputs have this name; give one of them another")
        token = secrets.token_hex(8)
        temporary = target.with_name(f"{PREFIX}{token}{any_suffix(target)}")
        staged = _Staged(target, temporary, target.with_name(f"{PREFIX}{token}.old"))
        self._staged.append(staged)
        _create(temporary)
        return temporary

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        told: InputError | None = None
        try:
            if error is None:
                self._commit()
            else:
                told = self._lack_of_space(error)
        except OSError as failure:
            raise self._lack_of_space(failure) or InputError(
                f"{self._folder()}: cannot write the outputs ({failure.strerror}); write elsewhere"
            ) from failure
        finally:
            _uninterrupted(self._discard)
        if told is not None:
            raise told from error

    def _folder(self) -> str:
        return shown(self._staged[-1].target.parent) if self._staged else "."

    def _lack_of_space(self, error: BaseException) -> InputError | None:
        size = sum(_size(staged.temporary) for staged in self._staged)
        return lack_of_space(error, self._folder(), "more than", size)

    def _require_writable(self, target: Path) -> None:
        name = shown(target)
        any_suffix(target)
        try:
            if not target.parent.is_dir():
                raise InputError(f"{name}: the folder {shown(target.parent)} does not exist; create it first")
            if target.is_dir():
                raise InputError(f"{name}: a folder; give the name of a file in it")
            if any(_same(target, source) for source in self.inputs):
                raise InputError(f"{name}: is the input; give the output another name")
            if target.exists() and not target.is_file():
                raise InputError(f"{name}: not a regular file; give the name of a new file")
            if os.path.lexists(target) and not self.force:
                raise InputError(f"{name}: exists already; use --force to replace it, or another name")
        except OSError as error:
            raise InputError(f"{name}: cannot be written ({error.strerror}); give another name") from None

    def _commit(self) -> None:
        for staged in self._staged:
            _sync(staged.temporary, os.O_RDWR)
            if staged.temporary.stat().st_size == 0:
                raise RuntimeError(f"{staged.target.name} was asked for and never written")
        try:
            for staged in self._staged:
                self._publish(staged)
            for folder in {s.target.parent for s in self._staged}:
                _sync(folder, os.O_RDONLY)
            self._done = True
        except BaseException:
            _uninterrupted(self._restore)
            raise

    def _publish(self, staged: _Staged) -> None:
        status = staged.temporary.stat()
        staged.identity = (status.st_dev, status.st_ino)
        if self.force and os.path.lexists(staged.target):
            try:
                os.link(staged.target, staged.backup, follow_symlinks=False)
            except (OSError, NotImplementedError):  # a file system without hard links
                os.rename(staged.target, staged.backup)
            os.replace(staged.temporary, staged.target)
            return
        try:
            os.link(staged.temporary, staged.target)  # unlike a rename, never replaces a file made meanwhile
        except FileExistsError:
            raise InputError(
                f"{shown(staged.target)}: was made by someone else meanwhile; use --force"
            ) from None
        except (OSError, NotImplementedError):
            if os.path.lexists(staged.target):
                raise InputError(
                    f"{shown(staged.target)}: was made by someone else meanwhile; use --force"
                ) from None
            os.rename(staged.temporary, staged.target)

    def _restore(self) -> None:
        """Undo every step that :meth:`_publish` has done, wherever it stopped; may be repeated."""
        for staged in reversed(self._staged):
            with suppress(OSError):
                if os.path.lexists(staged.backup):
                    os.replace(staged.backup, staged.target)
                    staged.backup.unlink(
                        missing_ok=True
                    )  # a rename between two links of one file removes neither
                    staged.identity = None
                elif staged.identity is not None:
                    status = staged.target.lstat()
                    if (status.st_dev, status.st_ino) == staged.identity:
                        staged.target.unlink()

    def _discard(self) -> None:
        for staged in self._staged:
            # an older file that could not be put back is kept under its temporary name
            for path in (staged.temporary, staged.backup) if self._done else (staged.temporary,):
                _remove(path)


def _uninterrupted(action: Callable[[], None]) -> None:
    """Run ``action``, which may be repeated, to its end through any Ctrl-C, then raise the last one."""
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            action()
            break
        except KeyboardInterrupt as raised:
            interrupt = raised
    if interrupt is not None:
        raise interrupt


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        raise lack_of_space(error, shown(path.parent), "more than", 0) or InputError(
            f"{shown(path.parent)}: cannot write into this folder ({error.strerror}); give another one"
        ) from None


def _remove(path: Path) -> None:
    with suppress(OSError):  # a read-only file system says so even of a file that is not there
        path.unlink(missing_ok=True)


def _same(target: Path, source: Path) -> bool:
    try:
        return target.samefile(source)
    except FileNotFoundError:
        return os.path.realpath(target) == os.path.realpath(source)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
