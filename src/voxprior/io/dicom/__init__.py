"""DICOM series of MR and CT in and out, and a node on the network that receives and sends them.

Needs the extra ``dicom``; pydicom is imported when something is read or written, not before.
"""

from voxprior.io.dicom.derived import NOTICE, SYNTHETIC, Derivation
from voxprior.io.dicom.files import is_dicom
from voxprior.io.dicom.folder import SIDECAR, dicom_folder, require_folder
from voxprior.io.dicom.new_study import new_study
from voxprior.io.dicom.reading import Source, read_dicom, read_dicom_frames
from voxprior.io.dicom.series import SeriesInfo, list_series
from voxprior.io.dicom.slice_order import in_order_of, require_straight
from voxprior.io.dicom.writing import source_of, write_dicom

__all__ = [
    "NOTICE",
    "SIDECAR",
    "SYNTHETIC",
    "Derivation",
    "SeriesInfo",
    "Source",
    "dicom_folder",
    "in_order_of",
    "is_dicom",
    "list_series",
    "new_study",
    "read_dicom",
    "read_dicom_frames",
    "require_folder",
    "require_straight",
    "source_of",
    "write_dicom",
]
