"""What is scored: scans as a job is given them, and things that are no such scans, made from them or given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.evaluate.directions import fine_directions
from voxprior.evaluate.enhance.protocols import DEGRADATIONS
from voxprior.evaluate.manifest import Row, read_manifest
from voxprior.evaluate.ood.spoil import SPOILT
from voxprior.evaluate.recon.protocols import normal_of

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
SR, ENHANCE, RECON = "sr", "enhance", "recon"
FACTORS: Mapping[str, tuple[int, ...]] = {SR: (3, 5), ENHANCE: (2, 3)}
"""Slice distances, and edges of coarse voxels, in voxels."""
SAMPLINGS = (("uniform:4:24", 8), ("poisson:8:24", 8), ("random-uniform:4:16", 1), ("poisson:8:16", 1))
"""Masks and simulated coils of the training scans."""
OTHER_SAMPLINGS = (("random-uniform:8:12", 8),)
"""Those of the test scans besides."""
REAL_SAMPLINGS = ("uniform:4:24", "poisson:8:24")
"""Masks of measured coil images and of measured complex images."""
BLOCK = 96
"""Edge of the block from the middle of a volume that is calibrated on too: users give parts of a head."""
RESTORED_BLOCK = 128
"""Edge of what is restored and then given again, for time."""
SCAN, AGAIN, MEASURED, UNDERSAMPLED = "scan", "already restored", "scan, measured k-space", "scan, undersampled"
SCANS = (SCAN, MEASURED, UNDERSAMPLED)
"""Kinds that are what the weights were made for."""


@dataclass(frozen=True)
class Case:
    """An input of a ``job``: ``kind``, and the volume that it is made from.

    ``direction``: of slices (sr), of coarse voxels (enhance, two), normal of a slice (recon). ``factor``: see
    :data:`FACTORS`. ``block``: edge of what is taken from the middle of the volume; 0 for all of it. ``degraded``: what
    made the voxels coarse, or the mask of k-space; ``coils``: of it.
    """

    subject: str
    file: str
    sha256: str
    direction: str
    kind: str
    factor: int
    block: int = 0
    job: str = SR
    degraded: str = ""
    coils: int = 0

    @property
    def name(self) -> str:
        """Job (but for sr), kind, volume and how it was measured."""
        block = f" block {self.block}" if self.block else ""
        if self.job == RECON:
            coils = f" {self.coils} coils" if self.coils > 1 else ""
            return f"{RECON} {self.kind} {self.subject} {Path(self.file).stem} {self.degraded}{coils}"
        if self.job == ENHANCE:
            return f"{ENHANCE} {self.kind} {self.subject} x{self.factor} {self.degraded}{block}"
        return f"{self.kind} {self.subject} x{self.factor}{block}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; of sr those that it had when it was the only job."""
        values = asdict(self)
        return {k: v for k, v in values.items() if self.job != SR or k not in ("job", "degraded", "coils")}


def train_cases(data: Path, job: str) -> list[Case]:
    """Scans of the train split, measured in every way, and of volumes a block of each; raises :class:`InputError`
    without any.
    """
    rows = [r for r in read_manifest(data) if r["split"] == "train" and r["file"].startswith("train/")]
    cases = [case for row in rows if _usable(row, job) for case in _scans(row, job)]
    if not cases:
        raise InputError(f"{data}: manifest.csv lists no training volume with fine_axes; give another --data")
    return cases


def test_cases(data: Path, job: str) -> list[Case]:
    """Test scans as they are and spoilt, CT volumes and label maps; of recon what was measured as k-space too."""
    rows = read_manifest(data)
    cases: list[Case] = []
    for row in rows:
        if row["split"] == "test" and row["file"].startswith("test/") and _usable(row, job):
            cases += _cases(row, job, SCAN)
            cases += [case for kind in SPOILT for case in _cases(row, job, kind)]
            cases += _cases(row, job, AGAIN, RESTORED_BLOCK)
        elif row["file"].startswith("ct/"):
            cases += _cases(row, job, "abdomen CT" if "abdomen" in row["subject"] else "CT given as MR")
        elif row["file"].startswith("labels/"):
            cases += _cases(row, job, "label map")
        elif job == RECON and row["file"].startswith("kspace/"):
            cases += _measured(row)
    if not any(case.kind == SCAN for case in cases):
        raise InputError(f"{data}: manifest.csv lists no test volume with fine_axes; give another --data")
    return cases


def _usable(row: Row, job: str) -> bool:
    """Whether the directions that a job makes coarse, or leaves in a slice, are fine."""
    return bool(fine_directions(row)) if job == SR else len(fine_directions(row)) > 1


def _scans(row: Row, job: str) -> Iterator[Case]:
    yield from _cases(row, job, SCAN)
    if job != RECON:
        yield from _cases(row, job, SCAN, BLOCK)


def _cases(row: Row, job: str, kind: str, block: int = 0) -> Iterator[Case]:
    place = row["subject"], row["file"], row["sha256"]
    fine = fine_directions(row)
    if job == SR:
        direction = ("A-P" if "A-P" in fine else fine[0]) if fine else ""
        for factor in FACTORS[SR]:
            yield Case(*place, direction, kind, factor, block)
    elif job == ENHANCE:
        direction = " ".join(fine[:2]) if len(fine) > 1 else "L-R A-P"
        for factor in FACTORS[ENHANCE]:
            for degradation in DEGRADATIONS:
                yield Case(*place, direction, kind, factor, block, ENHANCE, degradation)
    elif kind not in (AGAIN, "resampled x3"):  # of k-space the size of a voxel is not asked
        samplings = SAMPLINGS if row["split"] == "train" and kind == SCAN else (*SAMPLINGS, *OTHER_SAMPLINGS)
        for mask, coils in samplings:
            yield Case(*place, normal_of(row) or "I-S", kind, 0, 0, RECON, mask, coils)


def _measured(row: Row) -> Iterator[Case]:
    place = row["subject"], row["file"], row["sha256"]
    if row["modality"] == "multi-coil k-space":
        yield Case(*place, "", UNDERSAMPLED, 0, 0, RECON)
    elif row["modality"] in ("multi-coil", "complex image (coil-combined)"):
        for mask in REAL_SAMPLINGS:
            yield Case(*place, "", MEASURED, 0, 0, RECON, mask, 0 if row["modality"] == "multi-coil" else 1)
