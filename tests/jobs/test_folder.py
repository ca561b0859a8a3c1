"""Folders for outputs are made whole, or named."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxprior.errors import InputError
from voxprior.jobs.folder import make_folder


def test_folders_above_are_made_too(tmp_path: Path) -> None:
    """On a fresh machine runs/demo is made although runs is not there."""
    make_folder(tmp_path / "runs" / "demo")
    make_folder(tmp_path / "runs" / "demo")
    assert (tmp_path / "runs" / "demo").is_dir()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A folder cannot be made inside a file, and the error is one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make this folder"):
        make_folder(tmp_path / "file" / "demo")
