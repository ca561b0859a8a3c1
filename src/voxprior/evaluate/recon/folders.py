"""Whole folders of reconstructions beside their references, by the published definitions."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.kspace.hdf5 import DAMAGE, h5py
from voxprior.io.names import COMPLEX_SUFFIXES, shown
from voxprior.io.reconstructions import read_image
from voxprior.metrics import fastmri, fastmri_masked, foreground, hfs_sde

DATASETS = ("reconstruction", "reconstruction_rss", "reconstruction_esc")
"""Data sets of fastMRI's files that hold an image, the first that is there."""

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """Figures of one volume: fastMRI's of the whole and of the object, and those of HFS-SDE, averaged over slices."""

    file: str
    slices: int
    psnr: float
    ssim: float
    nmse: float
    psnr_object: float
    ssim_object: float
    nmse_object: float
    psnr_hfs_sde: float
    ssim_hfs_sde: float
    nmse_hfs_sde: float


def score_folder(
    reconstructions: Path,
    references: Path,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[str], None] = print,
) -> tuple[list[Row], list[str]]:
    """A row for each reference; what could not be scored is reported, and its names are returned beside the rows.

    Files belong together by name, whatever their suffix. Raises :class:`InputError` for a folder without images.
    """
    truths = images_in(references)
    found = images_in(reconstructions)
    rows, failed = [], []
    for done, (name, path) in enumerate(truths.items(), 1):
        try:
            if name not in found:
                raise InputError(f"{name}: no reconstruction of this name; reconstruct it, or take the reference away")
            rows.append(score_volume(name, magnitude(found[name]), magnitude(path)))
        except InputError as error:
            report(f"error: {error}")
            failed.append(name)
        if progress is not None:
            progress(done, len(truths))
    return rows, failed


def images_in(folder: Path) -> dict[str, Path]:
    """Name without suffix to path, of every image in ``folder``, in order; :class:`InputError` if there is none."""
    if not folder.is_dir():
        raise InputError(f"{shown(folder)}: no such folder; give one of images")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in COMPLEX_SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith("."):
            continue
        name = path.name[: -len(suffix)]
        if name in found:
            raise InputError(f"{shown(folder)}: {found[name].name} and {path.name} have one name; keep one of them")
        found[name] = path
    if not found:
        raise InputError(f"{shown(folder)}: holds no image; their names end in {', '.join(COMPLEX_SUFFIXES)}")
    return found


def magnitude(path: Path) -> Image:
    """The magnitude (slice, y, x) of an image file; raises :class:`InputError` when it holds none, or is not finite."""
    image = np.abs(_fastmri(path) if path.suffix.lower() == ".h5" else read_image(path)[0]).astype(np.float32)
    if image.ndim not in (2, 3):
        raise InputError(f"{shown(path)}: has {image.ndim} axes; save (slice, y, x) or (y, x)")
    if not np.isfinite(image).all():
        raise InputError(f"{shown(path)}: NaN or infinite somewhere; repair or leave it out")
    return np.asarray(image.reshape(-1, *image.shape[-2:]))


def score_volume(name: str, image: Image, truth: Image) -> Row:
    """Figures of ``image`` beside ``truth``, both (slice, y, x); a larger image is cut about its centre.

    Raises :class:`InputError` for another number of slices, a smaller image, or a truth without signal.
    """
    if len(image) != len(truth) or any(a < b for a, b in zip(image.shape, truth.shape, strict=True)):
        raise InputError(f"{name}: an image {image.shape} does not cover the reference {truth.shape}; bring it there")
    top, left = ((a - b) // 2 for a, b in zip(image.shape[1:], truth.shape[1:], strict=True))
    image = image[:, top : top + truth.shape[1], left : left + truth.shape[2]]
    inside = fastmri_masked(image, truth, foreground(truth))
    pairs = [(a, b) for a, b in zip(image, truth, strict=True) if a.any() and b.any()]
    source = np.mean([hfs_sde(a, b) for a, b in pairs], axis=0) if pairs else np.full(3, np.nan)
    return Row(name, len(truth), *fastmri(image, truth), *inside, *(float(value) for value in source))


def write_csv(stream: TextIO, rows: Sequence[Row]) -> None:
    """A line a volume below the names of the columns."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    writer.writerows(astuple(row) for row in rows)


def _fastmri(path: Path) -> NDArray[Any]:
    library = h5py()
    try:
        with library.File(path, "r") as file:
            name = next((name for name in DATASETS if name in file), None)
            if name is None:
                held = ", ".join(sorted(file)) or "nothing"
                raise InputError(f"{shown(path)}: holds {held}, none of {', '.join(DATASETS)}; give images")
            return np.asarray(file[name])
    except DAMAGE as error:
        raise InputError(f"{shown(path)}: damaged ({' '.join(str(error).split())}); copy it again") from None
