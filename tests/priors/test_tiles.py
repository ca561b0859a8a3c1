"""Tiles: every voxel is covered, weights sum to one, and nobody sees where they meet."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from voxprior.metrics.seams import seam_index
from voxprior.networks.unet import UNet, UNetConfig
from voxprior.priors.tiles import Box, Tiles, tiled


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Tiles, tuple[int, int, int]]:
    step = [draw(st.integers(1, 4)) for _ in range(3)]
    size = [s * draw(st.integers(1 + (s < 3), 6)) for s in step]
    overlap = [s * draw(st.integers(0, n // 2 // s)) for s, n in zip(step, size, strict=True)]
    shape = [draw(st.integers(1, 14)) for _ in range(3)]
    return Tiles(tuple(size), tuple(overlap), tuple(step)), tuple(shape)  # type: ignore[arg-type,return-value]


@given(cuts())
def test_tiles_cover_and_fit(case: tuple[Tiles, tuple[int, int, int]]) -> None:
    """Every voxel lies in a tile, none is larger than asked for, all begin at multiples of the step and inside."""
    tiles, shape = case
    covered = torch.zeros(shape)
    for box in tiles.boxes(shape):
        covered[box] += 1
        for axis, part in enumerate(box):
            assert 0 < part.stop - part.start <= tiles.size[axis] and part.start % tiles.step[axis] == 0
            assert part.stop <= shape[axis]
    assert bool((covered > 0).all())
    for axis, n in enumerate(shape):
        starts = tiles.starts(axis, n)
        assert all(b - a <= tiles.size[axis] - tiles.overlap[axis] for a, b in pairwise(starts))


@given(cuts(), st.integers(0, 99))
def test_weights_sum_to_one(case: tuple[Tiles, tuple[int, int, int]], seed: int) -> None:
    """A pointwise function of the volume is what it is without tiles, constants too; each tile is asked once."""
    tiles, shape = case
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ticks: list[Box] = []

    def restore(box: Box) -> tuple[Tensor, ...]:
        part = x[(slice(None), *box)]
        return torch.sin(part), torch.ones_like(part)

    found, ones = tiled(restore, shape, tiles, lambda: ticks.append(tiles.boxes(shape)[0]))
    assert torch.allclose(found, torch.sin(x), atol=1e-12) and torch.allclose(ones, torch.ones_like(x), atol=1e-12)
    assert len(ticks) == len(tiles.boxes(shape))


@given(cuts(), st.integers(1, 3000))
def test_smaller_tiles(case: tuple[Tiles, tuple[int, int, int]], voxels: int) -> None:
    """A limit is kept unless single steps are above it already, and what it gives are tiles still."""
    tiles, _ = case
    small = tiles.at_most(voxels)
    assert math.prod(small.size) <= max(voxels, math.prod(tiles.step))
    assert all(a <= b for a, b in zip(small.size, tiles.size, strict=True))
    assert tiles.at_most(math.prod(tiles.size)) == tiles


@pytest.mark.parametrize(
    ("size", "overlap", "step"),
    [((8, 8, 8), (5, 0, 0), (1, 1, 1)), ((8, 8, 9), (0, 0, 0), (1, 1, 2)), ((8, 8, 8), (0, 3, 0), (1, 2, 1))],
)
def test_what_is_no_cut_is_refused(
    size: tuple[int, int, int], overlap: tuple[int, int, int], step: tuple[int, int, int]
) -> None:
    """More than half shared, and sizes or overlaps off the grid of the network."""
    with pytest.raises(ValueError, match="tiles of"):
        Tiles(size, overlap, step)


SHAPE = (30, 44, 24)
TILES = Tiles((14, 32, 24), (4, 8, 0), (1, 4, 4))
FIELD = (2, 8, 8)
"""How far the network below looks: two convolutions 3 x 3 x 3 on a grid of 1 x 4 x 4 voxels."""


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(0)
    made = UNet(
        UNetConfig(
            inputs=1,
            outputs=1,
            dimensions=3,
            channels=(6, 8),
            blocks=(0, 1),
            up=(0,),
            stem=(1, 2, 2),
            strides=((1, 2, 2),),
            ends=1,
            kernel="factorised",
        )
    )
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return made.eval().requires_grad_(False)


def _ask(network: UNet, x: Tensor) -> Tensor:
    return network(x[:, None], torch.zeros(1), torch.zeros(1, 0))[:, 0]


@pytest.fixture(scope="module")
def both(network: UNet) -> tuple[Tensor, Tensor]:
    x = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(3)).cumsum(1) / 3
    (found,) = tiled(lambda box: (_ask(network, x[(slice(None), *box)]),), SHAPE, TILES)
    return found, _ask(network, x)


def test_tiles_give_the_whole_where_the_network_sees_no_border(both: tuple[Tensor, Tensor]) -> None:
    """Voxels further inside every tile that holds them than the network looks are those of the whole volume."""
    found, whole = both
    inside = torch.ones(SHAPE, dtype=torch.bool)
    for box in TILES.boxes(SHAPE):
        for axis, part in enumerate(box):
            places = torch.arange(SHAPE[axis])
            near = (places >= part.start) & (places < part.start + FIELD[axis]) & (part.start > 0)
            near |= (places < part.stop) & (places >= part.stop - FIELD[axis]) & (part.stop < SHAPE[axis])
            inside &= ~near.reshape([-1 if a == axis else 1 for a in range(3)])
    error = (found - whole)[0].abs()
    scale = float(whole.abs().max())
    assert 0.05 < float(inside.float().mean()) < 0.9
    assert float(error[inside].max()) < 1e-5 * scale < 1e-3 * scale < float(error[~inside].max())


def test_there_is_no_seam(both: tuple[Tensor, Tensor], network: UNet) -> None:
    """The change across the borders of tiles over that elsewhere is the whole volume's, to a twentieth; the borders of
    tiles side by side are plain to see."""
    found, whole = both
    x = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(3)).cumsum(1) / 3
    apart = Tiles((10, 44, 24), (0, 0, 0), (1, 4, 4))
    (cut,) = tiled(lambda box: (_ask(network, x[(slice(None), *box)]),), SHAPE, apart)
    assert _seam(found, TILES) / _seam(whole, TILES) <= 1.05
    assert _seam(cut, apart) / _seam(whole, apart) > 1.05


def _seam(x: Tensor, tiles: Tiles) -> float:
    """The seam index at the starts and ends of tiles along the first axis."""
    ends = {e for box in tiles.boxes(SHAPE) for e in (box[0].start, box[0].stop)} - {0, SHAPE[0]}
    return seam_index(x[0].numpy(), 0, sorted(ends))
