"""A study of its own, without a patient: for images that come from k-space, from views or from nothing."""

from __future__ import annotations

from typing import Any

from voxprior.io.dicom.datasets import CLASSIC, require_pydicom
from voxprior.io.dicom.loading import Source
from voxprior.io.dicom.uids import Uids, series_uid


def new_study(modality: str, digest: str, uids: Uids = "new", **known: Any) -> Source:
    """A source without images, in a study and a space of its own, whose patient and date are left empty.

    ``modality``: MR or CT. ``digest``: of what the images are made from; with ``uids`` from content the study follows
    from it. ``known``: elements of an image by keyword, such as ``MRAcquisitionType``.
    """
    require_pydicom()
    from pydicom.dataset import Dataset

    template = Dataset()
    template.SpecificCharacterSet = "ISO_IR 192"  # file names of weights may have letters of any alphabet
    template.SOPClassUID = next(uid for uid, of in CLASSIC.items() if of == modality)
    template.StudyInstanceUID = series_uid(uids, "study", digest, settings={})
    template.Laterality = ""  # of which side is not known, and the standard wants that said where no body part is
    for keyword, value in known.items():
        setattr(template, keyword, value)
    return Source(template, (), digest, modality)
