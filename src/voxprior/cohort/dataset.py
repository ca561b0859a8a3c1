"""What a BIDS data set holds that can be restored: a walk of the subjects that are asked for, never an index of all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.io.names import shown

THICK = 1.5
"""A scan counts as thick where its largest spacing is at least this times the next."""
SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "PDT2", "T2star", "inplaneT1", "inplaneT2")
"""Contrasts of anatomical scans that are restored."""
_NAME = re.compile(r"(sub-[0-9A-Za-z]+)(_[0-9A-Za-z_-]+)?_(" + "|".join(SUFFIXES) + r")\.nii(\.gz)?")
_LABEL = re.compile(r"[0-9A-Za-z]+")


@dataclass(frozen=True)
class Member:
    """A scan of the cohort: ``source``, and the part of its place that says whose it is, such as ``sub-01/anat``.

    ``stem`` and ``suffix`` make its name: ``sub-01_run-2`` and ``T1w``.
    """

    source: Path
    folder: Path
    stem: str
    suffix: str

    @property
    def name(self) -> str:
        """``sub-01_run-2_T1w``."""
        return f"{self.stem}_{self.suffix}"

    def target(self, out: Path, desc: str = "restored", suffix: str = ".nii.gz") -> Path:
        """The derivative of this scan in the folder ``out``."""
        return out / self.folder / f"{self.stem}_desc-{desc}_{self.suffix}{suffix}"


def members(dataset: Path, subjects: Sequence[str] = (), sessions: Sequence[str] = ()) -> list[Member]:
    """Thick anatomical scans of ``dataset``, and those that cannot be read, by name; labels may begin with ``sub-``.

    Raises :class:`InputError` for a folder that is no BIDS data set, and for subjects that are not there.
    """
    if not (dataset / "dataset_description.json").is_file():
        raise InputError(f"{shown(dataset)}: no dataset_description.json; name the root of a BIDS data set")
    found = [m for subject in _subjects(dataset, subjects) for m in _of(subject, _labels("ses-", sessions))]
    return [member for member in found if is_thick(member.source)]


def is_thick(source: Path) -> bool:
    """Whether the header of ``source`` tells of thick slices; so does a file that cannot be read, to be told of."""
    import nibabel
    import numpy as np

    try:
        image: Any = nibabel.load(source)
        steps = sorted(float(v) for v in np.linalg.norm(image.affine[:3, :3], axis=0))
        return len(image.shape) >= 3 and steps[2] >= THICK * steps[1]
    except Exception:  # whatever is wrong with it, the restoration says it in a line
        return True


def thickness_of(member: Member) -> float | None:
    """``SliceThickness`` (mm) of the scan's own sidecar, if it is there and a positive number."""
    beside = member.source.with_name(f"{member.name}.json")
    try:
        value = json.loads(beside.read_text(encoding="utf-8"))["SliceThickness"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) and 0 < value < 1000 else None


def _subjects(dataset: Path, wanted: Sequence[str]) -> list[Path]:
    if not wanted:
        return sorted(p for p in dataset.glob("sub-*") if p.is_dir())
    folders = [dataset / label for label in _labels("sub-", wanted)]
    absent = [folder.name for folder in folders if not folder.is_dir()]
    if absent:
        raise InputError(f"{shown(dataset)}: has no {', '.join(absent)}; check --participant-label")
    return folders


def _labels(prefix: str, labels: Sequence[str]) -> list[str]:
    plain = [label.removeprefix(prefix) for label in labels]
    wrong = [label for label in plain if not _LABEL.fullmatch(label)]
    if wrong:
        raise InputError(f"label {wrong[0]!r}: letters and digits make a label")
    return [prefix + label for label in plain]


def _of(subject: Path, sessions: Sequence[str]) -> Iterator[Member]:
    places = [subject / "anat"] if not sessions else []
    places += sorted(p / "anat" for p in subject.glob("ses-*") if not sessions or p.name in sessions)
    for place in places:
        for source in sorted(place.glob("*.nii*")) if place.is_dir() else ():
            match = _NAME.fullmatch(source.name)
            if match is not None and match[1] == subject.name:
                yield Member(source, place.relative_to(subject.parent), match[1] + (match[2] or ""), match[3])
