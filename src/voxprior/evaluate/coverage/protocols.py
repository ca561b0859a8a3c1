"""Blocks of which subjects are made coarse how, to widen intervals and to count what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.directions import fine_directions
from voxprior.evaluate.enhance.protocols import Case as InPlane
from voxprior.evaluate.manifest import Row, read_manifest
from voxprior.evaluate.recon.protocols import Case as Sampled
from voxprior.evaluate.recon.protocols import Sampling, normal_of
from voxprior.evaluate.sr.protocols import Case as Thickened
from voxprior.methods.enhance import DEFAULT as ENHANCE
from voxprior.methods.kspace import WEIGHTS as KSPACE
from voxprior.priors.student import DEFAULT as STUDENT
from voxprior.priors.weights import DEFAULT
from voxprior.registry import weight_names

PROTOCOL = 2
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
FACTORS = (2, 3, 5, 8)
"""Slice distances in voxels."""
DRAWN_FACTORS = (2, 5)
"""Those at which samples are drawn, which takes 80 times as long as a mean."""
EDGE, DRAWN_EDGE = 64, 40
"""Edge of the block from the middle of the head, voxels, and of that in which samples are drawn."""
MIDDLE = 3
"""Number of that block."""
SAMPLES, STEPS = 4, 20
IN_PLANE = ("box", "1.5t")
MEAN, ONE, DRAWN = "mean", "one-step", "sample"
SAMPLINGS = (
    *((2, "uniform:2:24", coils) for coils in (8, 1)),
    *((3, "uniform:4:24", coils) for coils in (8, 1)),
    *((4, "poisson:4:24", coils) for coils in (8, 1)),
    (6, "random-uniform:6:16", 8),
    *((8, mask, coils) for mask, coils in (("poisson:8:24", 8), ("random-uniform:8:12", 8), ("poisson:8:16", 1))),
    *((12, mask, coils) for mask, coils in (("poisson:12:24", 8), ("poisson:12:16", 1))),
)
"""Rounded acceleration, mask and coils of the k-space of a subject."""
DRAWN_MASKS = ("uniform:2:24", "poisson:4:24", "poisson:12:24")
"""Those at which samples are drawn from several coils, which takes longest."""
REAL_SAMPLINGS = ((3, "uniform:4:24"), (8, "poisson:8:24"), (12, "poisson:12:24"))
"""The same of measured coil images and of measured complex images."""
RECON = "recon"
RECON_STEPS = 10
Degraded = Thickened | InPlane | Sampled


@dataclass(frozen=True)
class Case:
    """A block of one volume, made coarse; ``job``: sr (``factor`` along ``directions``, one) or enhance (two).

    Of recon it is a slice normal to ``directions``, sampled by ``mask`` of an acceleration near ``factor`` with so many
    simulated ``coils``; without directions the coil images, or the complex image, of the file.
    """

    subject: str
    file: str
    sha256: str
    modality: str
    scanner: str
    job: str
    directions: tuple[str, ...]
    factor: int
    degradation: str = "box"
    edge: int = EDGE
    mask: str = ""
    coils: int = 0

    @property
    def kind(self) -> str:
        """What was done to the truth, in words."""
        if self.job == RECON:
            coils = {0: "measured coils", 1: "one coil"}.get(self.coils, f"{self.coils} coils")
            return f"recon x{self.factor} {self.mask} {coils}"
        return f"{self.job} x{self.factor} {self.degradation}"

    @property
    def name(self) -> str:
        """Subject, kind, edge and directions, or the file of k-space."""
        if self.job == RECON:
            return f"{self.subject} {self.kind} {' '.join(self.directions) or Path(self.file).stem}"
        return f"{self.subject} {self.kind} {self.edge} {' '.join(self.directions)}"

    def degraded(self) -> Degraded:
        """The case of the other evaluations that makes the measurement."""
        place = self.subject, self.file, self.sha256, self.modality
        if self.job == RECON:
            family, acceleration, acs = self.mask.split(":")
            sampling = Sampling(family, float(acceleration), int(acs))
            if self.directions:
                normal = self.directions[0]
                return Sampled(*place[:3], RECON, "slice", *sampling, direction=normal, coils=self.coils)
            return Sampled(*place[:3], RECON, "complex" if self.coils == 1 else "coils", *sampling)
        if self.job == "sr":
            return Thickened(*place, "", self.directions[0], self.factor, crop=MIDDLE)
        return InPlane(*place, (self.directions[0], self.directions[1]), self.degradation)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        values = {**asdict(self), "directions": list(self.directions)}
        return {name: value for name, value in values.items() if self.job == RECON or name not in ("mask", "coils")}


def calibrate_cases(data: Path) -> list[Case]:
    """Blocks of the subjects of the train split that are kept for this; raises :class:`InputError` without any."""
    rows = [r for r in read_manifest(data) if r["split"] == "train" and r.get("role") == "calibrate"]
    return _cases(rows, f"{data}: manifest.csv lists no subject with role calibrate; give another --data")


def test_cases(data: Path) -> list[Case]:
    """Blocks of the subjects of the test split; raises :class:`InputError` without any."""
    every = [r for r in read_manifest(data) if r["split"] == "test"]
    rows = [r for r in every if r["file"].startswith("test/")]
    return _cases(rows, f"{data}: manifest.csv lists no test volume with fine_axes; give another --data") + [
        case for row in every for case in _of_kspace(row)
    ]


test_cases.__test__ = False  # type: ignore[attr-defined]


def contenders() -> list[Contender]:
    """The mean with its predicted std, one step where its weights are, and samples; ``place``: job and block.

    Of one sample the std is predicted, of several it is their spread.
    """
    sr = {"mode": "mean", "weights": DEFAULT}
    found = [Contender(MEAN, "voxprior", sr, "sr")]
    if STUDENT in weight_names():
        one = {"mode": "one-step", "weights": STUDENT}
        found += [Contender(ONE, "voxprior", one, "sr"),
                  Contender(f"{ONE}, {SAMPLES} samples", "voxprior", {**one, "samples": SAMPLES}, "sr")]
    drawn = {**sr, "mode": "sample", "steps": STEPS}
    found += [
        Contender(MEAN, "voxprior", sr, "sr drawn"),
        Contender(f"{SAMPLES} {DRAWN}s", "voxprior", {**drawn, "samples": SAMPLES}, "sr drawn"),
        Contender(f"1 {DRAWN}", "voxprior", {**drawn, "samples": 1}, "sr drawn"),
    ]
    recon = {"mode": "mean", "weights": KSPACE, "steps": RECON_STEPS}
    found += [
        Contender(MEAN, "voxprior", recon, RECON),
        Contender(f"{SAMPLES} {DRAWN}s", "voxprior", {**recon, "mode": "sample", "samples": SAMPLES}, "recon drawn"),
    ]
    if ENHANCE in weight_names():
        found.append(Contender(MEAN, "voxprior", {"mode": "mean", "weights": ENHANCE}, "enhance"))
    return found


def runs_on(contender: Contender, case: Case) -> bool:
    """What takes long runs on the small blocks, and the mean on those too, to stand beside it."""
    if case.job == RECON:
        drawn = contender.place == "recon drawn" and (case.coils == 1 or case.mask in DRAWN_MASKS)
        return contender.place == RECON or drawn
    small = " drawn" if case.edge == DRAWN_EDGE else ""
    return contender.place == case.job + small


def _cases(rows: list[Row], without: str) -> list[Case]:
    cases = [case for row in rows for case in _of_subject(row)]
    if not cases:
        raise InputError(without)
    return cases


def _of_subject(row: Row) -> Iterator[Case]:
    fine = fine_directions(row)
    if not fine:
        return
    place = row["subject"], row["file"], row["sha256"], row["modality"], row["sequence_field_scanner"]
    first = "A-P" if "A-P" in fine else fine[0]
    for factor in FACTORS:
        yield Case(*place, "sr", (first,), factor)
    for factor in DRAWN_FACTORS:
        yield Case(*place, "sr", (first,), factor, edge=DRAWN_EDGE)
    if normal := normal_of(row):
        for factor, mask, coils in SAMPLINGS:
            yield Case(*place, RECON, (normal,), factor, "", 0, mask, coils)
    if len(fine) > 1:
        for degradation in IN_PLANE:
            yield Case(*place, "enhance", (fine[0], fine[1]), 2, degradation)


def _of_kspace(row: Row) -> Iterator[Case]:
    coils = {"multi-coil": 0, "complex image (coil-combined)": 1}.get(row["modality"])
    if coils is None or not row["file"].startswith("kspace/"):
        return
    place = row["subject"], row["file"], row["sha256"], row["modality"], row["sequence_field_scanner"]
    for factor, mask in REAL_SAMPLINGS:
        yield Case(*place, RECON, (), factor, "", 0, mask, coils)
