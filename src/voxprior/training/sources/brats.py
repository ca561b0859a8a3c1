"""BraTS as downloaded: ``BraTS-GLI-00005-100/BraTS-GLI-00005-100-t1n.nii.gz``, and the names of its earlier years."""

from __future__ import annotations

import re
from pathlib import Path

from voxprior.training.sources.scan import Scan, stem

NAME = "BraTS"
_DASHED = re.compile(r"(BraTS-[A-Z]+(?:-RT)?-\d+)(?:-\d+)?[-_](t1n|t1c|t2w|t2f)\.nii(\.gz)?", re.IGNORECASE)
"""Since 2023: kind, patient and, where there is one, time point. ``-seg``, masks and voided images do not match."""
_UNDERSCORED = re.compile(r"(BraTS(?:\d|_).*?)_(t1|t1ce|t1c|t2|flair)\.nii(\.gz)?", re.IGNORECASE)
"""Until 2021: ``BraTS2021_00000_t1ce.nii.gz``, ``BraTS20_Training_001_flair.nii``."""
_MODALITY = {"t1n": "T1w", "t1": "T1w", "t1c": "T1w+Gd", "t1ce": "T1w+Gd", "t2w": "T2w", "t2": "T2w", "t2f": "FLAIR",
             "flair": "FLAIR"}


def recognise(path: Path, parts: tuple[str, ...]) -> Scan | None:
    """All four sequences; the time points of one patient are one subject."""
    match = _DASHED.fullmatch(parts[-1]) or _UNDERSCORED.fullmatch(parts[-1])
    if match is None:
        return None
    return Scan(path, match[1], stem(parts[-1]), _MODALITY[match[2].lower()], NAME)
