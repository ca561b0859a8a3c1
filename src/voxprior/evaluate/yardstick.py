"""What the machine gives: the rate of a bare convolution, and the memory that a piece of work took."""

from __future__ import annotations

import statistics
import threading
import time
from types import TracebackType

import torch

from voxprior.jobs.room import resident


@torch.no_grad()
def bare_convolution_rate(repeats: int = 3) -> float:
    """GFLOP/s of a 3 x 3 convolution, 64 channels, 96 x 96, batch 8, channels last, float32: median of
    ``repeats``.

    A multiply-add counts as two operations. The peak against which the network's own rate is held.
    """
    x = torch.randn(8, 64, 96, 96).to(memory_format=torch.channels_last)
    weight = torch.randn(64, 64, 3, 3).to(memory_format=torch.channels_last)
    operations = 2 * 8 * 96 * 96 * 64 * 64 * 9
    torch.conv2d(x, weight, padding=1)  # the first call plans the kernel
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(4):
            torch.conv2d(x, weight, padding=1)
        rates.append(4 * operations / (time.perf_counter() - start) / 1e9)
    return statistics.median(rates)


class MemoryPeak:
    """Resident memory of this process while the block runs, read every ``interval`` seconds.

    ``peak``: the most that was resident, bytes, with everything that lay there before; ``extra``: the same
    less what was resident at the start. Both None where the system does not tell (no /proc). A lifetime
    maximum, as the system keeps it, would give every later case the figure of the largest earlier one.
    """

    def __init__(self, interval: float = 0.02) -> None:
        self.interval = interval
        self.peak: int | None = None
        self.extra: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryPeak:
        self._start = self.peak = resident()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        if self.peak is not None and self._start is not None:
            self.extra = self.peak - self._start

    def _watch(self) -> None:
        while not self._stop.wait(self.interval):
            self._look()

    def _look(self) -> None:
        now = resident()
        if now is not None and self.peak is not None:
            self.peak = max(self.peak, now)
