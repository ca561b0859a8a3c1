"""Which files of a folder are training volumes, in any of the layouts that are known."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from voxprior.errors import InputError
from voxprior.io.headers import Claim
from voxprior.io.names import shown
from voxprior.training.sources import bids, brats, hcp, ixi, pairs
from voxprior.training.sources.probe import probe
from voxprior.training.sources.scan import Layout, Scan, stem
from voxprior.training.sources.tree import images

LAYOUTS: tuple[Layout, ...] = (pairs, bids, brats, ixi, hcp)
"""Asked in this order; a folder may hold several."""
KNOWN = (
    "a folder with manifest.csv, IXI, BraTS, HCP, a BIDS data set, and pairs in low/ and high/, low_res/ and high_res/ "
    "or LR/ and HR/"
)
TOLD = 5
"""Files that a warning names."""


class LeftOut(UserWarning):
    """Files that a training does without."""


class Found(NamedTuple):
    """A scan and what its header says; of a pair also what that of the measured volume says."""

    scan: Scan
    claim: Claim
    measured: Claim | None


def find(folder: Path) -> list[Found]:
    """Training volumes below ``folder``, sorted by name; headers are read, voxels are not.

    Files that cannot serve are named in one :class:`LeftOut` warning. Raises :class:`InputError` where none is left.
    """
    scans = _named_apart(list(_recognised(folder)), folder)
    found, faults, taken = list[Found](), dict[Path, str](), dict[str, int]()
    for scan in sorted(scans, key=lambda s: (s.rank, s.name)):
        if scan.versions and taken.get(scan.versions, scan.rank) != scan.rank:
            continue
        try:
            found.append(_opened(scan))
            taken[scan.versions] = scan.rank
        except (InputError, OSError) as error:
            faults[scan.path] = str(error).removeprefix(f"{shown(scan.path)}: ").split(";")[0]
    tell_left_out(folder, faults)
    if not found:
        unknown = "none of its files can serve" if faults else "holds no training volumes in a layout that is known"
        raise InputError(f"{shown(folder)}: {unknown}; known are {KNOWN}: see docs/training-data.md")
    return sorted(found, key=lambda f: f.scan.name)


def tell_left_out(folder: Path, faults: dict[Path, str]) -> None:
    """Say in one line which files of ``folder`` a training does without, and why; nothing where there are none."""
    if not faults:
        return
    named = [f"{shown(_below(path, folder))} ({fault})" for path, fault in list(faults.items())[:TOLD]]
    more = [f"{len(faults) - TOLD} more"] if len(faults) > TOLD else []
    number = "1 file is" if len(faults) == 1 else f"{len(faults)} files are"
    warnings.warn(f"{shown(folder)}: {number} left out: {'; '.join(named + more)}", LeftOut, stacklevel=2)


def _recognised(folder: Path) -> Iterator[Scan]:
    root = folder.absolute().name
    for path in images(folder):
        parts = (root, *path.relative_to(folder).parts)
        known = (layout.recognise(path, parts) for layout in LAYOUTS)
        scan = next((s for s in known if s is not None), None)
        if scan is not None:
            yield scan


def _opened(scan: Scan) -> Found:
    claim = probe(scan.path)
    if scan.measured is None:
        return Found(scan, claim, None)
    if not scan.measured.exists():
        raise InputError(f"{shown(scan.path)}: no measured volume {shown(Path(*scan.measured.parts[-2:]))}; add it")
    measured = probe(scan.measured)
    pairs.require_one_place(measured, claim, scan.path)
    return Found(scan, claim, measured)


def _named_apart(scans: list[Scan], folder: Path) -> list[Scan]:
    """``scans`` with another name where two have the same: that of the folders they lie in before it."""
    count = Counter(scan.name for scan in scans)
    return [
        s if count[s.name] == 1 else replace(s, name=stem("_".join(_below(s.path, folder).parts))) for s in scans
    ]


def _below(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
