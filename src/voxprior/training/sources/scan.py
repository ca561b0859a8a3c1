"""What a file of a download is, told from its path alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from voxprior.io.names import IMAGE_SUFFIXES


@dataclass(frozen=True)
class Scan:
    """A file that holds a training volume.

    ``subject``: whose it is, over all sessions and sequences. ``name``: one for each volume. ``modality``: ``T1w``,
    ``T1w+Gd``, ``T2w``, ``PDw``, ``FLAIR``, ... ``layout``: the name of the layout that knew it. ``site``: where it was
    scanned, if the name says so. ``versions``: scans with the same text here are versions of one scan, of which the
    lowest readable ``rank`` is used. ``measured``: the coarse volume of the same place, of a pair.
    """

    path: Path
    subject: str
    name: str
    modality: str
    layout: str
    site: str = ""
    versions: str = ""
    rank: int = 0
    measured: Path | None = None


class Layout(Protocol):
    """A module that knows how one kind of download names its files."""

    NAME: str

    def recognise(self, path: Path, parts: tuple[str, ...]) -> Scan | None:
        """The scan in ``path``, whose names from the data folder down are ``parts``; None if it is not one."""
        ...


def stem(name: str) -> str:
    """A file name without its image suffix."""
    return next((name[: -len(s)] for s in IMAGE_SUFFIXES if name.lower().endswith(s)), name)
