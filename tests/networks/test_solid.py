"""The network in three dimensions: its quick layers are the layers they stand for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from voxprior.networks.unet import AlongDepth, Attention, Pointwise, UNet, UNetConfig

CONFIG = UNetConfig(
    inputs=3,
    outputs=2,
    features=4,
    dimensions=3,
    channels=(4, 8),
    blocks=(1, 1),
    stem=(1, 2, 2),
    strides=((1, 2, 2),),
    ends=1,
    kernel="factorised",
)
ASKED = (torch.tensor([0.3, -0.2]), torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.0, -1.0, 0.5, 2.0]]))


def _live(**changes: Any) -> UNet:
    """A network with no zero layer left, so that every input can reach the output."""
    torch.manual_seed(0)
    network = UNet(CONFIG.model_copy(update=changes))
    for p in network.parameters():
        nn.init.normal_(p, std=0.2)
    return network


def _x(*space: int) -> Tensor:
    return torch.randn(2, 3, *space, generator=torch.Generator().manual_seed(1))


def test_along_depth_is_a_convolution() -> None:
    """The product of matrices is the library's convolution 3 x 1 x 1 with zeros beyond the ends, for one slice too."""
    quick, slow = AlongDepth(5), nn.Conv3d(5, 5, (3, 1, 1), padding=(1, 0, 0))
    nn.init.normal_(quick.bias)
    slow.weight.data = quick.weight.data.reshape(5, 3, 5).permute(0, 2, 1)[..., None, None]
    slow.bias = quick.bias
    for depth in (1, 2, 7):
        x = torch.randn(2, 5, depth, 4, 3)
        assert torch.allclose(quick(x), slow(x), atol=1e-5)


def test_pointwise_is_a_convolution() -> None:
    """The same weights as a convolution 1 x 1 x 1, and the same answer."""
    quick = Pointwise(5, 3)
    x = torch.randn(2, 5, 4, 6, 3)
    slow = torch.nn.functional.conv3d(x, quick.weight, quick.bias)
    assert torch.allclose(quick(x), slow, atol=1e-5)


class _Explicit(nn.Module):
    """A factorised pair as one full convolution: the product of both kernels, zeros between them kept."""

    def __init__(self, pair: nn.Sequential) -> None:
        super().__init__()
        plane, depth = pair[0], pair[1]
        self.plane = nn.Conv3d(plane.in_channels, plane.out_channels, 3, padding=1)
        self.depth = nn.Conv3d(plane.out_channels, plane.out_channels, 3, padding=1)
        for layer in (self.plane, self.depth):
            nn.init.zeros_(layer.weight)
        self.plane.weight.data[:, :, 1:2] = plane.weight.data
        self.plane.bias = plane.bias
        c = plane.out_channels
        self.depth.weight.data[:, :, :, 1, 1] = depth.weight.data.reshape(c, 3, c).permute(0, 2, 1)
        self.depth.bias = depth.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.depth(self.plane(x))


def test_a_factorised_network_is_one_of_full_convolutions() -> None:
    """The whole network with each quick pair replaced by two full convolutions that hold its weights."""
    network = _live()
    quick = network(_x(3, 9, 6), *ASKED)
    for level in [*network.encoder, *network.decoder]:
        for block in level:
            block.first, block.second = _Explicit(block.first), _Explicit(block.second)
    slow = network(_x(3, 9, 6), *ASKED)
    assert torch.allclose(quick, slow, rtol=1e-4, atol=1e-5 * float(slow.detach().abs().max()))


@pytest.mark.parametrize("kernel", ["full", "factorised"])
def test_checkpointing_changes_memory_not_gradients(kernel: str) -> None:
    """Computing blocks twice gives the same output and the same gradient in every parameter."""
    found = []
    for checkpointing in (False, True):
        network = _live(kernel=kernel, checkpointing=checkpointing, heads=(0, 2))
        y = network(_x(3, 8, 8), *ASKED)
        y.square().mean().backward()
        found.append((y.detach(), [p.grad for p in network.parameters()]))
    assert torch.allclose(found[0][0], found[1][0])
    for a, b in zip(found[0][1], found[1][1], strict=True):
        assert a is not None and b is not None and torch.allclose(a, b, atol=1e-6)


def test_gradients_reach_every_parameter() -> None:
    """No part of the network is left out of the training."""
    network = _live(heads=(1, 2))
    network(_x(3, 8, 8), *ASKED).square().mean().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or float(p.grad.abs().max()) == 0]
    assert not silent


def test_attention_starts_as_the_identity_and_then_sees_everything() -> None:
    """A new network with attention is the one without; a trained one mixes all positions, and no two images."""
    part = Attention(8, 2)
    x, label = torch.randn(2, 8, 2, 3, 4), torch.zeros(2, 1)
    assert torch.equal(part(x, label), x)
    nn.init.normal_(part.out.weight)
    changed = x.clone()
    changed[0, :, 0, 0, 0] = 20 * torch.randn(8)
    moved = (part(changed, label) - part(x, label)).detach().abs().amax(dim=1)
    assert float(moved[0].min()) > 0 and float(moved[1].max()) == 0


def test_attention_is_the_textbook_formula() -> None:
    """softmax(q k' / sqrt(c)) v a head, written out in loops of matrices."""
    part = Attention(8, 2)
    nn.init.normal_(part.out.weight)
    x = torch.randn(1, 8, 2, 2, 3)
    tokens = x.flatten(2)[0].T
    q, k, v = part.project(part.norm(tokens)).chunk(3, dim=1)
    heads = []
    for cut in (slice(0, 4), slice(4, 8)):
        heads.append(torch.softmax(q[:, cut] @ k[:, cut].T / 2, dim=1) @ v[:, cut])
    expected = x + part.out(torch.cat(heads, 1)).T.reshape(1, 8, 2, 2, 3)
    assert torch.allclose(part(x, torch.zeros(1, 1)), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 5, 7), (3, 9, 4)])
def test_any_odd_size(size: tuple[int, ...]) -> None:
    """Slabs of one slice, and rows that no stride divides."""
    assert _live()(_x(*size), *ASKED).shape == (2, 2, *size)


def test_members_of_a_batch_do_not_mix() -> None:
    """One volume alone and in a batch, with its own label and description, to rounding."""
    network, x = _live(heads=(0, 2)), _x(3, 9, 6)
    both = network(x, *ASKED)
    for i in range(2):
        alone = network(x[i : i + 1], ASKED[0][i : i + 1], ASKED[1][i : i + 1])
        assert torch.allclose(both[i : i + 1], alone, atol=1e-5)


@pytest.mark.parametrize("kernel", ["full", "factorised"])
def test_multiply_adds_are_those_counted_by_torch(kernel: str) -> None:
    """What two more slices cost, so that ends and what is done once a volume drop out."""
    from torch.utils.flop_counter import FlopCounterMode

    network, counts = UNet(CONFIG.model_copy(update={"kernel": kernel})), []
    for depth in (4, 6):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, depth, 8, 8), torch.zeros(1), torch.zeros(1, 4))
        counts.append(counter.get_total_flops())
    # Full convolutions are counted as dense, at the ends too, so their slope is the same.
    assert counts[1] - counts[0] == pytest.approx(2 * network.multiply_adds * 2 * 64, rel=1e-9)


def test_features_are_those_of_the_encoder() -> None:
    """One tensor a level, finest first, on the level's grid; they change with the label."""
    network, x = _live(), _x(3, 8, 8)
    first, second = network.features(x, *ASKED)
    assert first.shape == (2, 4, 3, 4, 4) and second.shape == (2, 8, 3, 2, 2)
    other = network.features(x, ASKED[0] + 1, ASKED[1])
    assert not torch.allclose(other[1], second)
