"""Folders for outputs."""

from __future__ import annotations

from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.names import shown


def make_folder(folder: Path) -> None:
    """Make ``folder`` unless it is there; raises :class:`InputError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{shown(folder)}: cannot make this folder ({error.strerror}); give another") from None
