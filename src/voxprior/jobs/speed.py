"""How fast this machine is: the rate of a bare convolution, timed now and kept nowhere."""

from __future__ import annotations

import time

import torch

SECONDS = 0.2
"""That a calibration takes."""
CHANNELS, SIDE, BATCH = 64, 96, 8
"""Of the convolution: 3 x 3, channels last, float32."""
MULTIPLY_ADDS = BATCH * SIDE * SIDE * CHANNELS * CHANNELS * 9
"""Of one convolution."""


@torch.no_grad()
def convolution_rate(seconds: float = SECONDS, device: str = "cpu") -> float:
    """Multiply-adds a second of a 3 x 3 convolution, over at least ``seconds``."""
    x = torch.ones(BATCH, CHANNELS, SIDE, SIDE, device=device).to(memory_format=torch.channels_last)
    weight = torch.ones(CHANNELS, CHANNELS, 3, 3, device=device).to(memory_format=torch.channels_last)
    _once(x, weight)  # the first call plans the kernel
    begin, count = time.perf_counter(), 0
    while True:
        _once(x, weight)
        count += 1
        spent = time.perf_counter() - begin
        if spent >= seconds:
            return count * MULTIPLY_ADDS / spent


def _once(x: torch.Tensor, weight: torch.Tensor) -> None:
    y = torch.conv2d(x, weight, padding=1)
    if y.device.type != "cpu":  # an accelerator returns before it is done: a value has to come back
        float(y[0, 0, 0, 0])
