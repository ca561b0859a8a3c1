"""A volume becomes a derived series of MR or CT images, in the study and the space of the source it came from."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxprior.errors import InputError
from voxprior.io.dicom.datasets import require_pydicom, told
from voxprior.io.dicom.derived import Derivation, shared_header
from voxprior.io.dicom.geometry import Vector, dot
from voxprior.io.dicom.loading import Source
from voxprior.io.dicom.quantise import decimal, quantise
from voxprior.io.dicom.references import source_images
from voxprior.io.dicom.slice_order import MOST_LEAN_MM, lean, right_handed
from voxprior.io.dicom.uids import Uids, instance_uid, series_uid
from voxprior.io.outputs import voxel_digest
from voxprior.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def source_of(volume: Volume) -> Source:
    """What ``volume`` keeps of its DICOM series; :class:`InputError` when it is not from one."""
    source = volume.header.get("dicom")
    if not isinstance(source, Source):
        name = volume.source or "the image"
        raise InputError(f"{name}: not a DICOM series; --dicom needs one as input, leave it out to write NIfTI")
    return source


def write_dicom(
    folder: Path, volume: Volume, source: Volume, derivation: Derivation, uids: Uids = "new"
) -> list[Path]:
    """Write ``volume`` into the empty ``folder`` as a classic image a slice along k: 0001.dcm and so on.

    ``source``: what :func:`read_dicom` gave, in the same space, or a volume with a new study. Slices are numbered along
    their normal. Values are kept to range / 130000, whole numbers exactly. Raises :class:`InputError` when ``source``
    is not of DICOM, ValueError for a sheared affine.
    """
    require_pydicom()
    origin, volume = source_of(source), right_handed(volume)
    row, column, normal = _directions(volume)
    stored = quantise(volume.data)
    settings = {**derivation.settings, "map": derivation.label}
    series = series_uid(uids, origin.digest, voxel_digest(volume), settings=settings)
    now = None if uids == "content" else dt.datetime.now().astimezone()
    with told("the series"):
        shared = shared_header(volume, origin, derivation, series, now)
        shared.ImageOrientationPatient = [decimal(v) for v in (*row, *column)]
        shared.RescaleSlope, shared.RescaleIntercept = stored.slope, stored.intercept
        written = []
        for k in range(volume.data.shape[2]):
            image, height = _image(shared, volume, normal, k)
            sources = source_images((origin, *derivation.others), normal, height, volume.spacing[2])
            if sources:
                image.SourceImageSequence = sources
            image.PixelData = np.ascontiguousarray(stored.stored[:, :, k].T).tobytes()
            written.append(folder / f"{k + 1:04d}.dcm")
            image.save_as(written[-1], enforce_file_format=True)
    return written


def _directions(volume: Volume) -> tuple[Vector, Vector, Vector]:
    """Unit vectors of the array axes in DICOM's LPS."""
    unit = volume.affine[:3, :3] / np.array(volume.spacing)
    if lean(volume.affine, volume.data.shape) > MOST_LEAN_MM:
        raise ValueError("the axes are not those of a DICOM series: sheared")
    lps = unit * np.array([[-1.0], [-1.0], [1.0]]) + 0.0
    row, column, normal = ((float(x), float(y), float(z)) for x, y, z in lps.T)
    return row, column, normal


def _image(shared: Dataset, volume: Volume, normal: Vector, k: int) -> tuple[Dataset, float]:
    """The header of slice ``k``, but for its sources, and how high it lies along ``normal``, mm."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    ds = Dataset()
    ds.update(shared)
    ds.SOPInstanceUID = instance_uid(str(shared.SeriesInstanceUID), k + 1)
    ds.InstanceNumber = k + 1
    x, y, z = (volume.affine @ [0.0, 0.0, float(k), 1.0])[:3]
    position = (-float(x) + 0.0, -float(y) + 0.0, float(z))
    ds.ImagePositionPatient = [decimal(v) for v in position]
    height = dot(normal, position)
    ds.SliceLocation = decimal(height)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds, height
