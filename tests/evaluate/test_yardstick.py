"""Memory and machine rate."""

import time

import numpy as np
import pytest

from voxprior.evaluate import yardstick
from voxprior.evaluate.yardstick import MemoryPeak, bare_convolution_rate
from voxprior.jobs import room
from voxprior.jobs.room import resident


def _hold(megabytes):
    block = np.ones(megabytes * 2**17)
    time.sleep(0.2)
    return block.sum()


@pytest.mark.skipif(resident() is None, reason="the system does not tell resident memory")
def test_memory_is_that_of_the_block_and_not_of_an_earlier_one():
    """A lifetime maximum would give every later case the figure of the largest earlier one."""
    with MemoryPeak() as large:
        _hold(128)
    with MemoryPeak() as small:
        _hold(1)
    assert large.extra > 100 * 2**20
    assert small.extra < 50 * 2**20
    assert large.peak - small.peak > 50 * 2**20


def test_a_system_that_does_not_tell_gives_none(monkeypatch, tmp_path):
    """An absent figure must not read as zero bytes."""
    monkeypatch.setattr(room, "ROOT", tmp_path / "absent")
    with MemoryPeak() as memory:
        pass
    assert (memory.peak, memory.extra) == (None, None)


def test_the_rate_counts_the_operations_of_the_convolution(monkeypatch):
    """With a clock that ticks a second a call the rate is 4 x 2 x 8 x 96^2 x 64^2 x 9 operations a second."""
    ticks = iter(range(100))
    monkeypatch.setattr(yardstick.time, "perf_counter", lambda: float(next(ticks)))
    assert bare_convolution_rate(1) == pytest.approx(4 * 2 * 8 * 96**2 * 64**2 * 9 / 1e9)
