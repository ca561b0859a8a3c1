"""One result: a method run on a block as it is and with lesions, its figures, and the record that keeps them."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender, Resolve, network_of, settings_of
from voxprior.evaluate.lesions.blobs import Field, false_blobs, field, responses
from voxprior.evaluate.lesions.contrast import Probe, Recovery, probe, recovery
from voxprior.evaluate.lesions.insert import Drawn, Image, Lesion, draw, insert, local_spread, scatter
from voxprior.evaluate.lesions.protocols import COPIES, DIAMETERS, EDGE, MULTIPLE, PROTOCOL, Case
from voxprior.evaluate.record import as_record
from voxprior.evaluate.sr.contenders import sr_method
from voxprior.evaluate.sr.degrade import Problem, Truth, thicken
from voxprior.evaluate.store import key_of
from voxprior.methods.result import Result
from voxprior.operators.base import Measurement

SEED = 0


@dataclass(frozen=True)
class Round:
    """A block filled with lesions."""

    lesions: Sequence[Lesion]
    drawn: Sequence[Drawn]
    probes: Sequence[Probe]
    truth: Image


@dataclass(frozen=True, eq=False)
class Task:
    """A block, its thick slices, and where its lesions go."""

    case: Case
    problem: Problem

    @classmethod
    def read(cls, data: Path, case: Case, edge: int = EDGE) -> Task:
        """The block of ``case``; raises :class:`InputError` when its file is missing or another one."""
        thickened = case.thickened()
        return cls(case, thicken(Truth.read(data, thickened), thickened, edge))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Of the fine voxels, mm."""
        a, b, c = np.linalg.norm(self.problem.affine[:3, :3], axis=0)
        return float(a), float(b), float(c)

    @cached_property
    def field(self) -> Field:
        """Where blobs are looked for, and the local standard deviation."""
        mask = self.problem.foreground
        return field(mask, local_spread(self.problem.truth, mask, self.spacing), self.spacing)

    @cached_property
    def responses(self) -> list[Image]:
        """Of the truth without lesions."""
        return responses(self.problem.truth, self.field)

    @cached_property
    def rounds(self) -> list[Round]:
        """The block with its lesions, each time others: the same at every factor, by subject."""
        return [self._round(number) for number in range(self.case.rounds)]

    def _round(self, number: int) -> Round:
        rng = np.random.default_rng([SEED, number, zlib.crc32(self.case.subject.encode())])
        truth, mask = self.problem.truth, self.problem.foreground
        sizes = DIAMETERS * COPIES
        lesions = scatter(truth, mask, self.field.spread, self.spacing, sizes, MULTIPLE, rng)
        drawn = [draw(lesion, truth.shape, self.spacing) for lesion in lesions]
        return Round(lesions, drawn, [probe(d, mask) for d in drawn], insert(truth, drawn, lesions))

    def measured(self, truth: Image) -> Measurement:
        """Thick slices of ``truth``, an image of the block's grid."""
        given = self.problem.measurement
        y = given.operator.apply(torch.from_numpy(truth)[None])
        return Measurement(given.operator, y, given.sigma, given.affine)


def key(case: Case, contender: Contender, resolve: Resolve = sr_method) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    options = resolve(contender.method).Options(**contender.options)
    network = network_of(options)
    settings = {**settings_of(options), "weights": network.sha256 if network else None}
    parts = {"protocol": PROTOCOL, "case": case.to_dict(), "edge": EDGE, "multiple": MULTIPLE, "copies": COPIES}
    return key_of({**parts, "seed": SEED, "method": contender.method, "settings": settings})


def measure(case: Case, contender: Contender, task: Task, resolve: Resolve = sr_method) -> dict[str, Any]:
    """Restore the block without lesions and with those of every round, and return the record for the store."""
    method = resolve(contender.method)
    options = method.Options(**contender.options)
    start = time.perf_counter()

    def restore(truth: Image) -> Image:
        result: Result = method(task.measured(truth), options, SeededNoise(SEED))
        return result.mean.numpy(force=True)

    plain = restore(task.problem.truth)
    found: list[Recovery] = []
    for filled in task.rounds:
        diameters = [lesion.diameter for lesion in filled.lesions]
        truths = task.problem.truth, filled.truth
        found += recovery(filled.probes, diameters, truths, (plain, restore(filled.truth)))
    seconds = time.perf_counter() - start
    figures = {
        "insertions": _by_size(found),
        "false": false_blobs(responses(plain, task.field), task.responses, task.field),
        "litres": task.field.litres,
        "slice_mm": case.factor * task.spacing[task.problem.slices.axis],
        "seconds": seconds,
    }
    network = network_of(options)
    weights = {"name": network.name, "sha256": network.sha256} if network else None
    how = {"settings": settings_of(options), "weights": weights}
    return as_record(case, key(case, contender, resolve), contender.label, how, figures)


def _by_size(found: Sequence[Recovery]) -> dict[str, dict[str, list[Any]]]:
    """Insertions by diameter, a list a figure: short to keep, whole to resample."""
    sizes: dict[str, dict[str, list[Any]]] = {}
    for one in sorted(found, key=lambda r: r.diameter):
        lists = sizes.setdefault(f"{one.diameter:g}", {"bright": [], "recovered": [], "error": []})
        lists["bright"].append(int(one.bright))
        lists["recovered"].append(round(one.recovered, 4))
        lists["error"].append(round(one.error, 4))
    return sizes
