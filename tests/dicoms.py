"""DICOM series written for the tests, by pydicom alone: what a scanner says, and nothing that our code computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_MR, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.2.1"
SECRET = "Zzyzx^Patience"
SECRETS = ("Zzyzx", "PID-4711", "19330102", "Saint Elsewhere", "Dr^Secretive", "ACC-0815")
"""What must reach no sidecar, picture, page, log or file name."""


@dataclass
class Series:
    """A series as it is written: ``voxels`` (slice, row, column) stored values; slices ``spacing`` mm apart (LPS)."""

    voxels: NDArray[Any]
    modality: str = "MR"
    spacing: float = 4.8
    thickness: float | None = 4.0
    pixel: tuple[float, float] = (1.5, 1.25)
    row: tuple[float, float, float] = (1.0, 0.0, 0.0)
    column: tuple[float, float, float] = (0.0, 1.0, 0.0)
    origin: tuple[float, float, float] = (-20.0, -30.0, 40.0)
    step: tuple[float, float, float] | None = None
    slope: float | None = None
    intercept: float | None = None
    number: int = 3
    uid: str = "1.2.826.0.1.3680043.8.498.3"
    study: str = "1.2.826.0.1.3680043.8.498.1"
    frame_of_reference: str = "1.2.826.0.1.3680043.8.498.2"
    change: Callable[[Dataset, int], None] | None = None

    @property
    def normal(self) -> NDArray[np.float64]:
        """Along which the slices follow each other."""
        return np.cross(self.row, self.column)

    def position(self, index: int) -> NDArray[np.float64]:
        """LPS of the first voxel of a slice."""
        step = self.normal * self.spacing if self.step is None else np.array(self.step)
        return np.array(self.origin) + step * index

    def affine(self) -> NDArray[np.float64]:
        """Column, row, slice to RAS, by the definition of the attributes."""
        affine = np.eye(4)
        affine[:3, 0] = np.array(self.row) * self.pixel[1]
        affine[:3, 1] = np.array(self.column) * self.pixel[0]
        affine[:3, 2] = self.normal * self.spacing
        affine[:3, 3] = self.origin
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine

    def values(self) -> NDArray[np.float64]:
        """What is to be read: column, row, slice, rescaled."""
        return (self.voxels * (self.slope or 1.0) + (self.intercept or 0.0)).transpose(2, 1, 0)

    def write(self, folder: Path, order: Sequence[int] | None = None) -> list[Path]:
        """Classic images, one a file, in the ``order`` given (of what is left out, nothing is written)."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for place, index in enumerate(range(len(self.voxels)) if order is None else order):
            ds = self.header(MR if self.modality == "MR" else CT)
            ds.SOPInstanceUID = f"{self.uid}.{index + 1}"
            ds.InstanceNumber = index + 1
            ds.ImagePositionPatient = [_ds(v) for v in self.position(index)]
            ds.ImageOrientationPatient = [_ds(v) for v in (*self.row, *self.column)]
            ds.PixelSpacing = list(self.pixel)
            ds.SliceThickness = self.thickness
            if self.slope is not None:
                ds.RescaleSlope, ds.RescaleIntercept = self.slope, self.intercept or 0
                ds.RescaleType = "HU" if self.modality == "CT" else "US"
            ds.WindowCenter, ds.WindowWidth = 300, 800
            if self.change is not None:
                self.change(ds, index)
            ds.PixelData = self.voxels[index].tobytes()
            paths.append(folder / f"IM{place:04d}")
            save(ds, paths[-1])
        return paths

    def write_enhanced(self, folder: Path, name: str = "enhanced.dcm") -> Path:
        """One multi-frame object."""
        folder.mkdir(parents=True, exist_ok=True)
        ds = self.header(ENHANCED_MR if self.modality == "MR" else ENHANCED_CT)
        ds.SOPInstanceUID = f"{self.uid}.1"
        ds.InstanceNumber = 1
        ds.NumberOfFrames = len(self.voxels)
        ds.SharedFunctionalGroupsSequence = [self._shared()]
        ds.PerFrameFunctionalGroupsSequence = [self._frame(k) for k in range(len(self.voxels))]
        ds.PixelData = self.voxels.tobytes()
        save(ds, folder / name)
        return folder / name

    def _shared(self) -> Dataset:
        measures, orientation, values, timing, echo = (Dataset() for _ in range(5))
        measures.PixelSpacing, measures.SliceThickness = list(self.pixel), self.thickness
        measures.SpacingBetweenSlices = self.spacing
        orientation.ImageOrientationPatient = [_ds(v) for v in (*self.row, *self.column)]
        values.RescaleSlope, values.RescaleIntercept = self.slope or 1, self.intercept or 0
        values.RescaleType = "HU" if self.modality == "CT" else "US"
        timing.RepetitionTime, timing.FlipAngle, timing.EchoTrainLength = 2000, 90, 8
        echo.EffectiveEchoTime = 22.123456789012345
        shared = Dataset()
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
        shared.PixelValueTransformationSequence = [values]
        if self.modality == "MR":
            shared.MRTimingAndRelatedParametersSequence, shared.MREchoSequence = [timing], [echo]
        return shared

    def _frame(self, index: int) -> Dataset:
        position, content, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [_ds(v) for v in self.position(index)]
        content.DimensionIndexValues = [index + 1]
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        return group

    def header(self, sop_class: str) -> Dataset:
        """What every image says."""
        ds = Dataset()
        ds.SOPClassUID, ds.Modality = sop_class, self.modality
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if self.modality == "CT" else "OTHER"]
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = SECRET, "PID-4711", "19330102", "O"
        ds.InstitutionName, ds.ReferringPhysicianName = "Saint Elsewhere", "Dr^Secretive"
        ds.AccessionNumber = "ACC-0815"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = self.study, self.uid
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = self.frame_of_reference, ""
        ds.StudyDate, ds.StudyTime, ds.StudyID = "20200102", "101112", "1"
        ds.SeriesDate, ds.SeriesTime = "20200102", "111213"
        ds.SeriesNumber, ds.SeriesDescription, ds.PatientPosition = self.number, "t1 thick", "HFS"
        ds.BodyPartExamined = "BRAIN"
        ds.Manufacturer, ds.ManufacturerModelName, ds.DeviceSerialNumber = "ACME", "Scan-o-matic", "42"
        if self.modality == "MR":
            ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "SK", "", "2D"
            ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength, ds.SAR = 500, 12, 1, 0.1
        else:
            ds.KVP, ds.XRayTubeCurrent, ds.AcquisitionNumber = 120, 200, 1
        ds.add_new(0x00190010, "LO", "ACME PRIVATE")
        ds.add_new(0x00191001, "LO", SECRET)
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = self.voxels.shape[1:]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
        ds.PixelRepresentation = int(self.voxels.dtype.kind == "i")
        return ds


def save(ds: Dataset, path: Path) -> None:
    """Write a data set as a DICOM file."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)


def thick(modality: str = "MR", shape: tuple[int, int, int] = (6, 20, 16), **values: Any) -> Series:
    """Smooth blobs with some texture and noise: (slice, row, column)."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    noise = np.random.default_rng(4).integers(0, 9, shape)
    texture = 60 * np.cos(9 * x + 5 * y) * (x**2 + y**2 + z**2 < 0.6)
    head = noise + 900 * np.exp(-3 * (x**2 + (y - 0.2) ** 2 + z**2)) + texture
    if modality == "CT":
        stored = np.clip(head + 24, 0, 4095).astype(np.uint16)
        return Series(stored, "CT", **{"slope": 1.0, "intercept": -1024.0, **values})
    return Series(np.clip(head, 0, None).astype(np.uint16), "MR", **values)


def _ds(value: float) -> str:
    return f"{value:.10g}"
