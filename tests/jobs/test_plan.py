"""The prediction of memory and time: its order, its completeness, and how far it is from what is measured."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from voxprior import registry
from voxprior.jobs.plan import Size, Way, counts, megabytes, predict, size_of, smaller
from voxprior.jobs.rows import TABLE
from voxprior.jobs.speed import MULTIPLY_ADDS, convolution_rate
from voxprior.operators.base import Measurement
from voxprior.operators.fourier import Fourier, RealImage
from voxprior.operators.separable import Separable
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import load_as
from voxprior.volume import SliceGeometry

MEAN = Way("sr", "voxprior", "mean")
SIZE = Size((160, 160, 120), 1, 160 * 160 * 24)
CHECK = Path(__file__).resolve().parents[2] / "benchmarks/memory.py"
WITHIN = 25.0
"""Percent by which a prediction may be off what a new process takes of its own; the same run differs by 6 % from
itself, as memory lies.
"""


def _memory(how: Way, size: Size = SIZE) -> int:
    plan = predict(how, size)
    assert plan is not None
    return plan.memory


def _work(how: Way, size: Size = SIZE) -> float:
    plan = predict(how, size)
    assert plan is not None
    return plan.work


def test_every_method_of_every_job_has_a_row() -> None:
    """Guards a new method that nobody measured: it needs calls and tile in the table, and benchmarks/memory.py."""
    assert {(job, method) for job, known in registry.METHODS.items() for method in known} == {key[:2] for key in TABLE}


@pytest.mark.parametrize("job", ["sr", "enhance", "recon", "ct"])
def test_every_mode_and_network_has_a_row(job: str) -> None:
    """Guards a mode, or a 3-D network, that is added to the default method and that nobody measured."""
    fields = registry.resolve("voxprior", job).Options.model_fields
    networks = {None, "volume"} if "planes" in fields else {None}
    modes = get_args(fields["mode"].annotation)
    assert {key[2:] for key in TABLE if key[:2] == (job, "voxprior")} == {(m, n) for m in modes for n in networks}


def test_the_prediction_grows_with_the_run() -> None:
    """Guards its order: more voxels, samples, coils, views and larger calls need more, a baseline less."""
    larger = Size((160, 160, 240), 1, 160 * 160 * 48)
    assert _memory(MEAN, larger) > _memory(MEAN) > _memory(Way("sr", "cubic", None))
    sample = Way("sr", "voxprior", "sample", steps=20, samples=2)
    assert _memory(replace(sample, samples=8)) > _memory(sample)
    assert _memory(replace(MEAN, memory=2000)) > _memory(MEAN) > _memory(replace(MEAN, memory=64))
    assert _work(sample) > 5 * _work(MEAN) > 0
    coils = [Size((192, 192), 10, 10 * n * 192**2, n * 192**2) for n in (4, 16)]
    assert _memory(Way("recon", "sense", None), coils[1]) > _memory(Way("recon", "sense", None), coils[0])
    views = [Size((128, 128, 20), 1, n * 20 * 192, n * 128**2) for n in (18, 72)]
    assert _work(Way("ct", "tv", None), views[1]) > _work(Way("ct", "tv", None), views[0])


def test_calls_that_cannot_shrink_stay() -> None:
    """Guards the retry: slices that are worked on one by one have no smaller calls, nor has one slab."""
    assert smaller(Way("recon", "voxprior", "mean", 20), Size((256, 256), 4, 4 * 256**2, 256**2), 1) is None
    assert smaller(Way("sr", "cubic", None), SIZE, 1) is None
    fewer = smaller(MEAN, SIZE, 64)
    assert fewer is not None and smaller(replace(fewer, memory=0), SIZE, 0) is None


def test_tiles_of_a_volume_prior_are_those_of_the_method() -> None:
    """Guards the size of calls that are tiles of cells: of a whole volume, and where memory is short."""
    asked = np.diag([1.0, 1.0, 1.0, 1.0])
    g = SliceGeometry(1, 10, 5.0, 5.0, 50, 1.0)
    measurement = Measurement(Separable.from_slices(g, (40, 10, 30)), torch.ones(1, 40, 10, 30), None, asked)
    size, how = size_of(measurement), Way("sr", "voxprior", "one-step")
    assert size.cells == (1, 5)
    prior = load_as("head-one-step", VolumePrior).prior
    for memory, whole in ((None, True), (4, False), (0, False)):
        bound = BoundVolume(prior, measurement, memory=memory)
        boxes = bound.tiles.boxes((50, 40, 30))
        largest = max(math.prod(part.stop - part.start for part in box) for box in boxes)
        assert largest == counts(replace(how, memory=memory), size, TABLE["sr", "voxprior", "one-step", None]).call * 5
        assert (len(boxes) == 1) is whole
    plan = predict(how, size)
    assert plan is not None
    fewer = smaller(how, size, megabytes(how, size, plan.call / 4))
    assert fewer is not None and _memory(fewer, size) < plan.memory


def test_what_was_not_measured_is_not_foretold() -> None:
    """Guards against figures out of the air."""
    assert predict(Way("sr", "unheard-of", None), SIZE) is None


@pytest.mark.parametrize("real", [False, True])
def test_the_size_is_read_off_the_operator(real: bool) -> None:
    """Guards the numbers that the planner starts from, for slices and for coils."""
    g = SliceGeometry(2, 4, 5.0, 5.0, 20, 1.0)
    slices = Measurement(Separable.from_slices(g, (6, 7, 4)), torch.zeros(1, 6, 7, 4))
    assert size_of(slices) == Size((6, 7, 20), 1, 168, cells=(2, 5))
    fourier = Fourier(torch.ones(8, 9, dtype=torch.bool), torch.ones(3, 8, 9, dtype=torch.complex64))
    operator = fourier @ RealImage() if real else fourier
    found = size_of(Measurement(operator, torch.zeros(1, 3, 8, 9, dtype=torch.complex64)), 5)
    assert found == Size((8, 9), 5, 5 * 216, 216, fourier.entries)
    assert found.voxels == 360


def test_the_speed_counts_the_operations_of_the_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that ticks a tenth of a second a call, .2 s are two convolutions."""
    ticks = iter(np.arange(100) / 10)
    monkeypatch.setattr("voxprior.jobs.speed.time.perf_counter", lambda: float(next(ticks)))
    assert convolution_rate(0.15) == pytest.approx(MULTIPLY_ADDS / 0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    ["sr/voxprior/mean", "sr/voxprior/one-step", "sr/tpdm", "enhance/voxprior/mean/None", "recon/voxprior/mean",
     "ct/voxprior/mean", "generate/voxprior"],
)
def test_the_prediction_is_right_on_other_sizes(way: str) -> None:
    """Guards the table against changes of the program, by the peak of new processes."""
    # Dask leaves the allocator's settings behind in the process of the tests: memory is then given back at once.
    usual = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    words = [sys.executable, str(CHECK), "--check", "--only", way]
    done = subprocess.run(words, env=usual, capture_output=True, text=True, check=True, timeout=900)
    off = [float(line.split("|")[4].split()[0]) for line in done.stdout.splitlines() if line.endswith("% |")]
    assert off and max(map(abs, off)) <= WITHIN, done.stdout
