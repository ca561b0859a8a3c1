"""One U-Net class for two and three dimensions, made to be quick on a processor."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from voxprior.networks.embedding import Embedding

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


class UNetConfig(BaseModel):
    """Shape of a :class:`UNet`.

    ``channels`` and ``blocks`` (residual blocks going down) have one entry a level; ``up`` has the blocks going up, one
    entry a level but the last, by default as many as going down. ``stem`` is the space-to-depth factor an axis before
    the first level, ``strides`` the factors between levels. ``ends``: kernel of the first and last convolution.
    ``kernel``: of the blocks in three dimensions, ``full`` (3 x 3 x 3) or ``factorised`` (1 x 3 x 3, then 3 x 1 x 1 at
    12/27 of the cost). ``heads``: attention heads after each level going down, 0 for none; attention looks at a whole
    tile, so the result depends on the tile. ``checkpointing``: blocks are computed again in the backward pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: int
    outputs: int
    features: int = 0
    dimensions: int = 2
    channels: tuple[int, ...] = (48, 96, 128)
    blocks: tuple[int, ...] = (1, 1, 2)
    up: tuple[int, ...] | None = None
    stem: tuple[int, ...] = (2, 2)
    strides: tuple[tuple[int, ...], ...] = ((2, 2), (2, 2))
    ends: int = 3
    kernel: Literal["full", "factorised"] = "full"
    heads: tuple[int, ...] = ()
    checkpointing: bool = False
    width: int = 128


def space_to_depth(x: Tensor, factor: Sequence[int]) -> Tensor:
    """(n, c, *space) to (n, c * prod(factor), *space / factor)."""
    n, c, *space = x.shape
    split = [v for size, f in zip(space, factor, strict=True) for v in (size // f, f)]
    d = len(space)
    order = [0, 1, *range(3, 2 * d + 2, 2), *range(2, 2 * d + 2, 2)]
    coarse = [size // f for size, f in zip(space, factor, strict=True)]
    return x.reshape(n, c, *split).permute(order).reshape(n, c * prod(factor), *coarse)


def depth_to_space(x: Tensor, factor: Sequence[int]) -> Tensor:
    """The inverse of :func:`space_to_depth`."""
    n, c, *space = x.shape
    d = len(space)
    order = [0, 1, *(v for a in range(d) for v in (2 + d + a, 2 + a))]
    fine = [size * f for size, f in zip(space, factor, strict=True)]
    return x.reshape(n, c // prod(factor), *factor, *space).permute(order).reshape(n, -1, *fine)


class AlongDepth(nn.Module):
    """A convolution 3 x 1 x 1 as one matrix product a voxel, several times as quick on a processor as the library's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Conv1d(channels, channels, 3).weight.detach().movedim(-1, 1).flatten(1))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, depth, rows, columns), zeros beyond the ends."""
        last = x.movedim(1, -1)
        before, here, after = self.weight.chunk(3, dim=1)
        y = functional.linear(last, here, self.bias)
        y[:, 1:] += functional.linear(last[:, :-1], before)
        y[:, :-1] += functional.linear(last[:, 1:], after)
        return y.movedim(-1, 1)


class Pointwise(nn.Conv3d):
    """A convolution 1 x 1 x 1 as one matrix product, for which the library has no quick path on a processor."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, input: Tensor) -> Tensor:
        """(n, inputs, *space) to (n, outputs, *space)."""
        return functional.linear(input.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)


def _pointwise(inputs: int, outputs: int, dimensions: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 1) if dimensions == 2 else Pointwise(inputs, outputs)


def _convolution(channels: int, config: UNetConfig) -> nn.Module:
    if config.dimensions == 3 and config.kernel == "factorised":
        return nn.Sequential(nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1)), AlongDepth(channels))
    return CONVOLUTION[config.dimensions](channels, channels, 3, padding=1)


class Block(nn.Module):
    """``x + conv(act(scale * conv(act(x)) + shift))``, scale and shift from the embedding; starts as the identity.

    There is no normalisation: it would make a voxel depend on the size of the tile that it is computed in.
    """

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.first = _convolution(channels, config)
        self.second = _convolution(channels, config)
        self.modulation = nn.Linear(config.width, 2 * channels)
        last = self.second[-1] if isinstance(self.second, nn.Sequential) else self.second
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return the refined features, same shape as x."""
        scale, shift = self.modulation(embedding).reshape(len(x), -1, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        hidden = self.first(functional.silu(x)) * (1 + scale) + shift
        refined: Tensor = x + self.second(functional.silu(hidden))
        return refined


class Attention(nn.Module):
    """Self-attention over all positions with a residual; starts as the identity."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return the refined features (n, channels, *space); the embedding is not used."""
        n, c, *space = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        split = self.project(self.norm(tokens)).reshape(n, -1, 3, self.heads, c // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, -1, c)
        refined: Tensor = x + self.out(mixed).transpose(1, 2).reshape(n, c, *space)
        return refined


class UNet(nn.Module):
    """Residual U-Net with space-to-depth between levels and a zero-initialised output.

    ``forward(x (n, inputs, *space), label (n,), description (n, features))`` gives (n, outputs, *space) for any size:
    the image is padded by its edge to a multiple of :attr:`multiple` and cropped again. ``features`` returns what each
    level of the encoder holds, for losses that compare images there.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        c, d = config.channels, config.dimensions
        self.embedding = Embedding(config.features, config.width)

        def end(inputs: int, outputs: int) -> nn.Module:
            if config.ends == 1:
                return _pointwise(inputs, outputs, d)
            return CONVOLUTION[d](inputs, outputs, config.ends, padding=config.ends // 2)

        self.stem = end(config.inputs * prod(config.stem), c[0])
        self.head = end(c[0], config.outputs * prod(config.stem))
        for part in self.head.parameters():
            nn.init.zeros_(part)
        self.down = nn.ModuleList(
            _pointwise(a * prod(s), b, d) for a, b, s in zip(c, c[1:], config.strides, strict=False)
        )
        self.up = nn.ModuleList(
            _pointwise(b, a * prod(s), d) for a, b, s in zip(c, c[1:], config.strides, strict=False)
        )
        heads = config.heads or (0,) * len(c)
        up = config.up if config.up is not None else config.blocks[:-1]

        def level(i: int, blocks: int, attention: int) -> nn.ModuleList:
            parts: list[nn.Module] = [Block(c[i], config) for _ in range(blocks)]
            return nn.ModuleList([*parts, *([Attention(c[i], attention)] if attention else [])])

        self.encoder = nn.ModuleList(level(i, config.blocks[i], heads[i]) for i in range(len(c)))
        self.decoder = nn.ModuleList(level(i, up[i], 0) for i in range(len(c) - 1))
        for parameter in self.parameters():
            if parameter.ndim == d + 2:
                parameter.data = parameter.data.contiguous(memory_format=self._memory)

    @property
    def _memory(self) -> torch.memory_format:
        """Channels last is two to three times as quick on a processor."""
        return torch.channels_last if self.config.dimensions == 2 else torch.channels_last_3d

    @property
    def multiple(self) -> tuple[int, ...]:
        """Sizes that need no padding are multiples of these."""
        result = list(self.config.stem)
        for stride in self.config.strides[: len(self.config.channels) - 1]:
            result = [m * s for m, s in zip(result, stride, strict=True)]
        return tuple(result)

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds a position of the input image, convolutions only."""
        total, density = 0.0, 1.0 / prod(self.config.stem)
        total += density * sum(p.numel() for end in (self.stem, self.head) for p in end.parameters() if p.ndim > 1)
        for i, _ in enumerate(self.config.channels):
            parts: list[nn.Module] = [self.encoder[i], *list(self.decoder)[i : i + 1]]
            # Matrices of a block but its modulation, which is applied once an image; attention grows with the tile.
            total += density * sum(
                p.numel() for part in parts for name, p in part.named_parameters()
                if p.ndim > 1 and not name.endswith("modulation.weight")
            )
            if i < len(self.down):
                density /= prod(self.config.strides[i])
                total += density * (self.down[i].weight.numel() + self.up[i].weight.numel())  # type: ignore[operator]
        return total

    def forward(self, x: Tensor, label: Tensor, description: Tensor) -> Tensor:
        """See the class."""
        size = x.shape[2:]
        skips, e = self._encode(x, label, description)
        h = skips.pop()
        for i in reversed(range(len(self.up))):
            fine = depth_to_space(self.up[i](h), self.config.strides[i]).contiguous(memory_format=self._memory)
            h = self._level(self.decoder[i], skips[i] + fine, e)
        y = depth_to_space(self.head(h), self.config.stem)
        for axis, n in enumerate(size, 2):
            y = y.narrow(axis, 0, n)
        return y

    def features(self, x: Tensor, label: Tensor, description: Tensor) -> list[Tensor]:
        """What the encoder holds after each level, finest first, (n, channels of the level, *space of the level)."""
        return self._encode(x, label, description)[0]

    def _encode(self, x: Tensor, label: Tensor, description: Tensor) -> tuple[list[Tensor], Tensor]:
        pad = [(-n) % m for n, m in zip(x.shape[2:], self.multiple, strict=True)]
        if any(pad):
            x = functional.pad(x, [v for p in reversed(pad) for v in (0, p)], mode="replicate")
        e = self.embedding(label, description)
        h = self.stem(space_to_depth(x, self.config.stem).contiguous(memory_format=self._memory))
        held = []
        for i, level in enumerate(self.encoder):
            h = self._level(level, h, e)
            held.append(h)
            if i < len(self.down):
                coarse = space_to_depth(h, self.config.strides[i])
                h = self.down[i](coarse.contiguous(memory_format=self._memory))
        return held, e

    def _level(self, level: nn.Module, h: Tensor, e: Tensor) -> Tensor:
        again = self.config.checkpointing and torch.is_grad_enabled()
        for block in level.children():
            h = checkpoint(block, h, e, use_reentrant=False) if again else block(h, e)
        return h
