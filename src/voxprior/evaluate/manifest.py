"""The list of scans of a data folder."""

from __future__ import annotations

import csv
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.outputs import file_digest

Row = dict[str, str]
_COLUMNS = ("file", "split", "subject", "modality", "sequence_field_scanner", "shape", "fine_axes", "sha256")


def read_manifest(data: Path) -> list[Row]:
    """Rows of ``data``/manifest.csv; raises :class:`InputError` when it is missing or lacks a column."""
    path = data / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError:
        raise InputError(f"{data}: no manifest.csv; give --data the folder that holds it") from None
    missing = [name for name in _COLUMNS if rows and name not in rows[0]]
    if missing or not rows:
        raise InputError(f"{path}: lacks {', '.join(missing) or 'rows'}; see docs/evaluation.md")
    return rows


def checked(data: Path, file: str, sha256: str) -> Path:
    """The path of ``file``; raises :class:`InputError` when it is missing or not the file of the manifest."""
    path = data / file
    if not path.is_file():
        raise InputError(f"{file}: not in the data folder, though manifest.csv lists it; fetch the data again")
    if file_digest(path) != sha256:
        raise InputError(f"{file}: sha256 differs from manifest.csv; fetch the data again")
    return path
