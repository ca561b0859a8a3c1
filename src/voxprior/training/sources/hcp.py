"""Structural scans of the Human Connectome Project: unprocessed, in AC-PC or template space, of any voxel size."""

from __future__ import annotations

import re
from pathlib import Path

from voxprior.training.sources.scan import Scan, stem

NAME = "HCP"
_SIZE = r"(?:[._](\d+(?:\.\d+)?))?"
_NATIVE = re.compile(rf"(T[12]w)_acpc_dc(_restore)?(_brain)?{_SIZE}\.nii(\.gz)?")
_TEMPLATE = re.compile(rf"(T[12]w)(_restore)?(_brain)?{_SIZE}\.nii(\.gz)?")
_RAW = re.compile(r".+_(T1w_MPR|T2w_SPC)\w*\.nii(\.gz)?")
_VISIT = re.compile(r"_(V\d+|MR|3T|7T).*")


def recognise(path: Path, parts: tuple[str, ...]) -> Scan | None:
    """Of the versions of one scan the least interpolated is used: unprocessed, ``T1w/``, then ``MNINonLinear/``.

    Fine ones come before those at 1.25, 1.6 or 2 mm, and whole heads before brains; runs are scans of their own.
    """
    name = parts[-1]
    if "unprocessed" in parts[1:-2] and (raw := _RAW.fullmatch(name)):
        return _scan(path, parts[parts.index("unprocessed", 1) - 1], name, raw[1][:3], 0)
    if len(parts) < 3:
        return None
    if parts[-2] == "T1w" and (native := _NATIVE.fullmatch(name)):
        rank = 1 + 2 * (native[2] is None) + (native[3] is not None)
        return _scan(path, parts[-3], name, native[1], rank + _coarse(native[4]))
    if parts[-2] == "MNINonLinear" and (template := _TEMPLATE.fullmatch(name)):
        rank = 5 + 2 * (template[2] is None) + (template[3] is not None)
        return _scan(path, parts[-3], name, template[1], rank + _coarse(template[4]))
    return None


def _coarse(size: str | None) -> int:
    """Ranks to add for voxels of ``size`` mm: any finer version comes first."""
    return 0 if size is None else round(1000 * float(size))


def _scan(path: Path, folder: str, name: str, modality: str, rank: int) -> Scan:
    """``folder``: the subject's, with the visit in its name where the study has several."""
    whole = stem(name) if name.startswith(folder) else f"{folder}_{stem(name)}"
    return Scan(path, _VISIT.sub("", folder), whole, modality, NAME, versions=f"{folder} {modality}", rank=rank)
