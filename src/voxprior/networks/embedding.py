"""Noise level and acquisition as one vector."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FREQUENCIES = 8


class Embedding(nn.Module):
    """(noise label (n,), description (n, features)) to (n, width): sines of the label, then two linear layers.

    The label is ln(sigma) / 4; octaves from half a period over the trained range keep neighbouring levels apart.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.input = nn.Linear(2 * FREQUENCIES + features, width)
        self.output = nn.Linear(width, width)

    def forward(self, label: Tensor, description: Tensor) -> Tensor:
        """Return the vector that modulates every block."""
        rates = math.pi / 2 * 2.0 ** torch.arange(FREQUENCIES, dtype=label.dtype, device=label.device) / 2
        angle = label[:, None] * rates
        hidden = self.input(torch.cat([angle.sin(), angle.cos(), description], dim=1))
        return torch.nn.functional.silu(self.output(torch.nn.functional.silu(hidden)))
