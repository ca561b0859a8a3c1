"""The header that all images of a derived series share: what they are, what they came from, and what made them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from voxprior.io.dicom.datasets import CLASSIC
from voxprior.io.dicom.kept import kept, scanner
from voxprior.io.dicom.loading import Source
from voxprior.io.dicom.quantise import decimal
from voxprior.io.dicom.uids import series_uid
from voxprior.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NOTICE = "AI-restored, not for diagnosis"
SYNTHETIC = "synthetic, no patient, not for diagnosis"
"""What the series says that every viewer shows, and of images that nothing was measured for."""
MAKER = "Voxprior"
"""Manufacturer of derived images."""
FIRST_NUMBER, NEXT_MAP = 9000, 10_000
"""Series numbers of derived series: that of the source and this, and so much more for each map."""
WINDOW_PERCENT = (0.5, 99.5)
MOST_TEXT, MOST_LINE = 1024, 64
"""Characters that DICOM's short texts and lines hold."""


@dataclass(frozen=True)
class Derivation:
    """How a volume was derived: a sentence, and the ``settings`` that UIDs from content depend on.

    ``label``: what the series shows if not the restored image (``std``, ``invented``); ``number``: 0 of the image, and
    another for each map. ``thickness``: of the derived slices, mm; their distance by default. ``others``: further
    series that it was made from. ``notice``: :data:`NOTICE` or :data:`SYNTHETIC`.
    """

    description: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    number: int = 0
    thickness: float | None = None
    others: tuple[Source, ...] = ()
    notice: str = NOTICE


def shared_header(
    volume: Volume, origin: Source, derivation: Derivation, series: str, now: dt.datetime | None
) -> Dataset:
    """What all derived images say alike; without ``now`` the dates of the source, so that files are equal."""
    template = origin.template
    ds = kept(template, origin.modality)
    ds.SOPClassUID = next(uid for uid, modality in CLASSIC.items() if modality == origin.modality)
    ds.Modality = origin.modality
    third = [str(v) for v in template.get("ImageType", [])][2:3]
    ds.ImageType = ["DERIVED", "SECONDARY", *(["AXIAL"] if origin.modality == "CT" else third or ["OTHER"])]
    ds.SeriesInstanceUID = series
    ds.SeriesNumber = FIRST_NUMBER + NEXT_MAP * derivation.number + int(template.get("SeriesNumber") or 0)
    described = str(template.get("SeriesDescription") or "")
    what = " ".join(word for word in (derivation.label, described) if word)
    notice = derivation.notice
    ds.SeriesDescription = f"{notice}: {what}"[:MOST_LINE] if what else notice
    ds.DerivationDescription = f"{notice}. {derivation.description}"[:MOST_TEXT]
    made = "synthesis" if notice == SYNTHETIC else "restoration"
    ds.Manufacturer, ds.ManufacturerModelName = MAKER, f"{origin.modality} {made}"
    ds.SoftwareVersions = metadata.version("voxprior")
    ds.ContributingEquipmentSequence = [*_acquired(origin), _processed(notice, now)]
    date = now.strftime("%Y%m%d") if now else str(template.get("SeriesDate") or template.get("StudyDate") or "")
    time = now.strftime("%H%M%S") if now else str(template.get("SeriesTime") or template.get("StudyTime") or "")
    for event in ("Series", "Content"):
        setattr(ds, f"{event}Date", date)
        setattr(ds, f"{event}Time", time)
    if now:
        ds.InstanceCreationDate, ds.InstanceCreationTime = date, time
    _complete(ds, origin.modality)
    _pixels(ds, volume)
    _window(ds, volume, origin, derivation)
    ds.SliceThickness = decimal(derivation.thickness or volume.spacing[2])
    ds.SpacingBetweenSlices = decimal(volume.spacing[2])
    return ds


def _complete(ds: Dataset, modality: str) -> None:
    """Elements that the standard wants even where the source has none: empty, or its word for unknown."""
    empty = "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID "
    empty += "AccessionNumber PositionReferenceIndicator PatientPosition "
    empty += "ScanOptions EchoTime EchoTrainLength" if modality == "MR" else "KVP AcquisitionNumber"
    for keyword in empty.split():
        if keyword not in ds:
            setattr(ds, keyword, None)
    if modality == "MR":
        for keyword, word in {"ScanningSequence": "RM", "SequenceVariant": "NONE", "MRAcquisitionType": "3D"}.items():
            if not ds.get(keyword):
                setattr(ds, keyword, word)
    if "RepetitionTime" not in ds and modality == "MR":
        ds.RepetitionTime = None
    if not ds.get("FrameOfReferenceUID"):
        ds.FrameOfReferenceUID = series_uid("content", str(ds.get("StudyInstanceUID")), settings={})
    ds.RescaleType = "HU" if modality == "CT" else "US"


def _pixels(ds: Dataset, volume: Volume) -> None:
    ds.SamplesPerPixel = 1
    if ds.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = volume.data.shape[1], volume.data.shape[0]
    ds.PixelSpacing = [decimal(volume.spacing[1]), decimal(volume.spacing[0])]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0


def _window(ds: Dataset, volume: Volume, origin: Source, derivation: Derivation) -> None:
    """The window of the source in the middle of the stack; of a map, or without one, that of its own values."""
    windows = [image.window for image in origin.images if image.window is not None]
    if windows and not derivation.label:
        windows.sort(key=lambda w: w[1])
        centre, width = windows[len(windows) // 2]
    else:
        low, high = (float(v) for v in np.percentile(volume.data, WINDOW_PERCENT))
        centre, width = (low + high) / 2, high - low if high > low else 1.0
    ds.WindowCenter, ds.WindowWidth = (decimal(float(f"{v:.6g}")) for v in (centre, width))
    if width < 1:
        ds.VOILUTFunction = "LINEAR_EXACT"


def _acquired(origin: Source) -> Sequence[Dataset]:
    """The scanner of the source; none where there is no series that names it."""
    if not origin.images:
        return []
    acquired = scanner(origin.template)
    acquired.PurposeOfReferenceCodeSequence = [coded("109101", "Acquisition Equipment")]
    return [acquired]


def _processed(notice: str, now: dt.datetime | None) -> Dataset:
    from pydicom.dataset import Dataset

    restored = Dataset()
    restored.Manufacturer, restored.ManufacturerModelName = MAKER, MAKER
    restored.SoftwareVersions = metadata.version("voxprior")
    restored.ContributionDescription = notice
    if now:
        restored.ContributionDateTime = now.strftime("%Y%m%d%H%M%S")
    restored.PurposeOfReferenceCodeSequence = [coded("109102", "Processing Equipment")]
    return restored


def coded(value: str, meaning: str) -> Dataset:
    """An item of a code sequence, of DICOM's own codes."""
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code
