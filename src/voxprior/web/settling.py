"""Files that came together are told apart: which scans they are, under names of our own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voxprior.web.archive import unpack
from voxprior.web.glance import glance
from voxprior.web.kinds import ARCHIVE, DICOM, IMAGE, kind_of, suffix_of
from voxprior.web.limits import Limits, Refused
from voxprior.web.look import look


@dataclass(frozen=True)
class Scan:
    """A scan that is complete: its kind and its files, of an image or k-space with a ``suffix``.

    ``about``: what may be told of it, which is neither a name nor a text of its header.
    """

    kind: str
    paths: tuple[Path, ...]
    suffix: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


def settle(folder: Path, limits: Limits) -> list[Scan]:
    """The scans among the files of ``folder``, one at least; an archive is taken apart, no further than ``limits``.

    Of DICOM one scan a series. Raises :class:`Refused` where there is none, or too many.
    """
    scans = _scans(folder, limits)
    if len(scans) > limits.scans:
        raise Refused(413, f"{len(scans)} scans at once, more than {limits.scans}; give those of one patient")
    return scans


def _scans(folder: Path, limits: Limits) -> list[Scan]:
    parts = sorted(folder.iterdir())
    if not parts:  # what came was refused
        raise Refused(400, "nothing was sent; give a scan")
    suffix = suffix_of(parts[0])
    if len(parts) > 1:
        return _sorted(folder, parts)
    if suffix is None:
        raise Refused(415, "not a scan: give NIfTI, MGZ, DICOM (files, folder or zip), or k-space (h5, npz, mat)")
    if kind_of(suffix) != ARCHIVE:
        return _sorted(folder, parts)
    inner = folder / "unpacked"
    inner.mkdir()
    unpack(parts[0], inner, limits)
    parts[0].unlink()
    scans = _sorted(folder, sorted(inner.iterdir()))
    shutil.rmtree(inner)
    return scans


def _sorted(folder: Path, parts: list[Path]) -> list[Scan]:
    """DICOM files among ``parts``, or the other scans where there are none; what is no scan is removed."""
    found = {path: suffix_of(path) or "" for path in parts}
    slices = [path for path, suffix in found.items() if suffix == ".dcm"]
    others = {path: suffix for path, suffix in found.items() if suffix and kind_of(suffix) not in (DICOM, ARCHIVE)}
    if slices:
        scans = _series(folder / "dicom", slices)
    elif len(others) == 1 or (others and {kind_of(suffix) for suffix in others.values()} == {IMAGE}):
        scans = [_lone(path, folder / f"scan-{k}{end}", end) for k, (path, end) in enumerate(others.items(), 1)]
    else:
        raise Refused(415, "no DICOM series and no images among the files; give k-space one file at a time")
    for path in parts:
        path.unlink(missing_ok=True)
    return scans


def _lone(path: Path, place: Path, suffix: str) -> Scan:
    path.rename(place)
    kind = kind_of(suffix)
    return Scan(kind, (place,), suffix, glance(place, suffix) if kind == IMAGE else {})


def _series(place: Path, slices: list[Path]) -> list[Scan]:
    place.mkdir()
    paths = [place / f"{number:06d}.dcm" for number in range(1, len(slices) + 1)]
    for path, own in zip(slices, paths, strict=True):
        path.rename(own)
    series = look(place)
    if not series:  # told when it is read
        return [Scan(DICOM, tuple(paths))]
    known = {path.name: path for path in paths}
    return [
        Scan(DICOM, tuple(known[name] for name in one["names"]), "", {k: v for k, v in one.items() if k != "names"})
        for one in series
    ]
