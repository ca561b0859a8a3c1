"""The image files below a folder, each once, whatever links there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from voxprior.io.names import IMAGE_SUFFIXES

PRUNED = frozenset({"derivatives", "sourcedata", "__MACOSX"})
"""Folders that hold other forms of what is beside them."""


def images(folder: Path) -> Iterator[Path]:
    """Paths below ``folder`` that end as images do; links that lead nowhere are among them.

    Linked folders are followed last, and only to where the walk has not been, so that circles end.
    """
    seen: set[tuple[int, int]] = set()
    starts = [folder]
    for start in starts:
        for place, folders, names in os.walk(start):
            state = Path(place).stat()
            if (state.st_dev, state.st_ino) in seen:
                folders.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            folders[:] = sorted(n for n in folders if n not in PRUNED and not n.startswith("."))
            starts += [link for name in folders if (link := Path(place, name)).is_symlink()]
            for name in sorted(names):
                if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                    yield Path(place, name)
