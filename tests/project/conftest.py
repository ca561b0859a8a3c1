"""The files of the project, as a reader of the repository sees them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TEXT = {"", ".py", ".md", ".toml", ".yml", ".yaml", ".txt", ".cff", ".json", ".svg", ".html", ".css", ".js"}


def _ignored() -> set[str]:
    return {line.strip("/ ") for line in (ROOT / ".gitignore").read_text().splitlines() if line.strip()}


def project_files() -> list[Path]:
    """Every file that is not ignored; the repository's own folder aside."""
    patterns = _ignored() | {".git"}
    found, folders = [], [ROOT]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if any(path.match(pattern) for pattern in patterns):
                continue
            (folders if path.is_dir() else found).append(path)
    return found


@pytest.fixture(scope="session")
def root() -> Path:
    """Top folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Every file of the project."""
    return project_files()


@pytest.fixture(scope="session")
def texts(files: list[Path]) -> dict[Path, str]:
    """Every text file of the project, by its path from the top."""
    chosen = [p for p in files if p.suffix in TEXT and not p.is_symlink()]
    return {p.relative_to(ROOT): p.read_text(encoding="utf-8") for p in chosen}


@pytest.fixture(scope="session")
def pyproject() -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
