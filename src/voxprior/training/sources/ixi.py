"""IXI as its archives unpack: ``IXI-T1/IXI002-Guys-0828-T1.nii.gz``, with the hospital in the name."""

from __future__ import annotations

import re
from pathlib import Path

from voxprior.training.sources.scan import Scan, stem

NAME = "IXI"
_FILE = re.compile(r"(IXI\d+)-([A-Za-z]+)-\w+-(T1|T2|PD)\.nii(\.gz)?", re.IGNORECASE)
_MODALITY = {"T1": "T1w", "T2": "T2w", "PD": "PDw"}


def recognise(path: Path, parts: tuple[str, ...]) -> Scan | None:
    """T1, T2 and PD of any site; angiograms (MRA) and diffusion (DTI) are not structural and are left."""
    match = _FILE.fullmatch(parts[-1])
    if match is None:
        return None
    return Scan(path, match[1].upper(), stem(parts[-1]), _MODALITY[match[3].upper()], NAME, site=match[2])
