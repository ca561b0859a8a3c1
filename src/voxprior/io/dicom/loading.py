"""The open files of a series become a volume, with what a derived series needs of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.dicom.datasets import read_dataset, read_pixels
from voxprior.io.dicom.geometry import Stack, stack
from voxprior.io.dicom.images import Image, images_of
from voxprior.io.dicom.packed import is_lossy
from voxprior.io.dicom.series import SeriesInfo
from voxprior.io.nifti import frame_numbers
from voxprior.volume import MAX_THICKNESS_RATIO, Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

THICKNESS_TOLERANCE = 0.01
STATED_TOLERANCE = 0.05
GRID_TOLERANCE = 1e-3
"""Parts by which thicknesses, distances and pixel spacings in headers may differ and still say the same."""
PIXEL_GROUP = 0x7FE0

Pixels = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """What a volume keeps of the series it came from: it holds patient data, and never shows them.

    ``template``: the first image without its pixels. ``images``: a slice each, in the order of the volume's k; none
    where there was no series. ``digest``: SHA-256 over the files, whatever they are called. ``modality``: MR or CT.
    """

    template: Dataset
    images: tuple[Image, ...]
    digest: str
    modality: str

    def __repr__(self) -> str:
        return f"<{self.modality} series of {len(self.images)} images>"


def load_series(
    found: SeriesInfo, frames: str | None, voxel_cap: int, name: str, least: int = 2
) -> list[Volume]:
    """The volumes of a series of at least so many slices whose files are open, whatever their voxels hold."""
    if found.voxels > voxel_cap:
        raise InputError(f"{name}: {found.voxels} voxels in the series; at most {voxel_cap} are read, crop it")
    images: list[Image] = []
    pixels: list[Pixels] = []
    digests: dict[str, str] = {}
    for entry in found.members:
        content = entry.content()
        dataset = read_dataset(content, entry.name)
        for image in images_of(dataset, entry):
            images.append(image)
            pixels.append(_values(dataset, image))
            digests[image.uid] = hashlib.sha256(content).hexdigest()
    _require_one_grid(images, name)
    alone = None if least > 1 else images[0].stated_distance or images[0].thickness or 1.0
    placed = stack([image.place for image in images], name, alone)
    count = len(placed.groups[0])
    groups = [sorted(group, key=lambda i: images[i].order) for group in placed.groups]
    return [
        _volume(found, placed, [(images[g[t]], pixels[g[t]]) for g in groups], digests, (t, count))
        for t in frame_numbers(frames, count, name)
    ]


def _volume(
    found: SeriesInfo,
    placed: Stack,
    slices: Sequence[tuple[Image, Pixels]],
    digests: Mapping[str, str],
    frame: tuple[int, int],
) -> Volume:
    images = tuple(image for image, _ in slices)
    affine = placed.affine.copy()
    affine[:3, 0] *= images[0].spacing[1]
    affine[:3, 1] *= images[0].spacing[0]
    thickness, doubts = _thickness(images, placed.spacing)
    template = _template(images[0])
    if template.get("LossyImageCompression") == "01":
        doubts.append("the images were once compressed with loss: part of their texture and noise is not the scanner's")
    files = hashlib.sha256("\n".join(sorted({digests[image.uid] for image in images})).encode()).hexdigest()
    header = {
        "format": "dicom",
        "qform_code": 1,
        "sform_code": 1,
        "xyzt_units": 2,
        "frame": None if frame[1] == 1 else frame[0],
        "frames": frame[1],
        "thickness": thickness,
        "warnings": (*placed.warnings, *doubts),
        "dicom": Source(template, images, files, found.modality),
    }
    number = "" if found.number is None else f" {found.number}"
    data = np.stack([values for _, values in slices]).transpose(2, 1, 0)
    return Volume(data, affine, header, f"series{number}")


def _values(dataset: FileDataset, image: Image) -> Pixels:
    """Pixels in the units of the series, (row, column)."""
    stored = read_pixels(dataset, image.entry.name, image.frame)
    if stored.shape != image.size:
        name = image.entry.name
        raise InputError(f"{name}: pixels of {stored.shape} where the header says {image.size}; export it again")
    if (image.slope, image.intercept) == (1.0, 0.0):
        return stored.astype(np.float32)
    return (stored.astype(np.float64) * image.slope + image.intercept).astype(np.float32)


def _template(image: Image) -> FileDataset:
    dataset = read_dataset(image.entry.content(), image.entry.name)
    for element in [e.tag for e in dataset if e.tag.is_private or e.tag.group >= PIXEL_GROUP]:
        del dataset[element]
    if is_lossy(dataset, dataset.file_meta.get("TransferSyntaxUID")):
        dataset.LossyImageCompression = "01"  # and so says every series derived from it
    return dataset


def _require_one_grid(images: Sequence[Image], name: str) -> None:
    first = images[0]
    for image in images:
        same = all(abs(a - b) <= GRID_TOLERANCE * b for a, b in zip(image.spacing, first.spacing, strict=True))
        if image.size != first.size or not same:
            raise InputError(f"{name}: images of different size or pixel spacing in one series; separate them first")


def _thickness(images: Sequence[Image], distance: float) -> tuple[float | None, list[str]]:
    """Slice thickness, mm, and what looks wrong with it or with the distance that the header states."""
    doubts = []
    known = sorted(image.thickness for image in images if image.thickness is not None)
    thickness = known[len(known) // 2] if known else None
    if thickness is None:
        doubts.append(f"the header has no slice thickness; taken as the distance of {distance:.4g} mm")
    elif known[-1] - known[0] > THICKNESS_TOLERANCE * thickness:
        doubts.append(f"slices of {known[0]:.4g} to {known[-1]:.4g} mm in one series; taken as {thickness:.4g} mm")
    if thickness is not None and thickness > MAX_THICKNESS_RATIO * distance:
        doubts.append(f"a slice thickness of {thickness:.4g} mm for slices every {distance:.4g} mm is not believed")
        thickness = None
    stated = images[0].stated_distance
    # some scanners state the gap between slices there, others the distance of their centres
    meant = () if stated is None else (stated, stated + (thickness or 0.0))
    if meant and min(abs(m - distance) for m in meant) > STATED_TOLERANCE * distance:
        doubts.append(f"the header says slices every {stated:.4g} mm, positions {distance:.4g}: some may be missing")
    return thickness, doubts
