"""Any BIDS data set: ``sub-01/anat/sub-01_T1w.nii.gz`` or ``sub-01/ses-1/anat/...``; derivatives are not walked."""

from __future__ import annotations

import json
import re
from pathlib import Path

from voxprior.training.sources.scan import Scan, stem

NAME = "BIDS"
_MODALITY = {"T1w": "T1w", "T2w": "T2w", "FLAIR": "FLAIR", "PDw": "PDw", "PD": "PDw", "T2starw": "T2starw",
             "T2star": "T2starw", "inplaneT1": "T1w", "inplaneT2": "T2w"}
_FILE = re.compile(rf"(sub-[^_]+)((?:_[A-Za-z]+-[^_]+)*)_({'|'.join(_MODALITY)})\.nii(\.gz)?")
_PART = re.compile(r"_part-(phase|real|imag)(_|$)")


def recognise(path: Path, parts: tuple[str, ...]) -> Scan | None:
    """Magnitude images in ``anat`` folders of the subject they name; with contrast agent (``ce-``) they are +Gd."""
    match = _FILE.fullmatch(parts[-1])
    if match is None or len(parts) < 3 or parts[-2] != "anat" or match[1] not in parts[:-2] or _PART.search(match[2]):
        return None
    agent = "+Gd" if "_ce-" in match[2] else ""
    return Scan(path, match[1], stem(parts[-1]), _MODALITY[match[3]] + agent, NAME)


def licence(folder: Path) -> str:
    """The ``License`` that ``dataset_description.json`` in ``folder`` states, or nothing."""
    try:
        text = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))["License"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return " ".join(text.split()) if isinstance(text, str) else ""
