"""A folder of outputs that appears whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.names import shown
from voxprior.io.transaction import PREFIX, lack_of_space

SIDECAR = "voxprior.json"
"""In every folder that is written: what is known of the run. By it a folder is known as an output, too."""


def require_folder(target: Path, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Raise :class:`InputError` unless the folder ``target`` may be made, or be replaced, at the end.

    With ``force`` an earlier output is replaced, never another folder with files in it; nothing is written into one
    of ``inputs``, and none of them is inside ``target``.
    """
    name = shown(target)
    try:
        if not target.parent.is_dir():
            raise InputError(f"{name}: the folder {shown(target.parent)} does not exist; create it first")
        place = Path(os.path.realpath(target))
        for source in (Path(os.path.realpath(source)) for source in inputs):
            if source.is_relative_to(place) or (source.is_dir() and place.is_relative_to(source)):
                raise InputError(f"{name}: is the input, or in it; give the output another place")
        if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
            return
        if not target.is_dir():
            raise InputError(f"{name}: exists and is not a folder; give another name")
        if not (target / SIDECAR).is_file():
            raise InputError(f"{name}: a folder with other files in it; give a new one")
        if not force:
            raise InputError(f"{name}: exists already; use --force to replace it, or another name")
    except OSError as error:
        raise InputError(f"{name}: cannot be written ({error.strerror}); give another name") from None


@contextmanager
def dicom_folder(target: Path, force: bool = False, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """``with dicom_folder(target) as folder:`` write there; in the end ``target`` has it all, or is as before.

    Raises :class:`InputError` as :func:`require_folder` does, and when the disk is full.
    """
    require_folder(target, force, inputs)
    token = secrets.token_hex(8)
    staged, older = (target.parent / f"{PREFIX}{token}{end}" for end in ("", ".old"))
    try:
        staged.mkdir()
        try:
            yield staged
            _sync(staged)
            _replace(staged, target, older)
        except OSError as error:
            raise lack_of_space(error, shown(target.parent), "more than", _size(staged)) or error from error
    except OSError as error:
        raise InputError(f"{shown(target)}: cannot be written ({error.strerror}); write elsewhere") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        if target.exists():
            shutil.rmtree(older, ignore_errors=True)


def _replace(staged: Path, target: Path, older: Path) -> None:
    if not target.exists():
        os.rename(staged, target)
        return
    os.rename(target, older)
    try:
        os.rename(staged, target)
    except BaseException:
        os.rename(older, target)
        raise


def _sync(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
