"""The network: exact in size, local in space, honest about its cost."""

from __future__ import annotations

import pytest
import torch

from voxprior.networks.embedding import Embedding
from voxprior.networks.unet import UNet, UNetConfig, depth_to_space, space_to_depth

PLANAR = UNetConfig(inputs=3, outputs=2, features=4, channels=(8, 12), blocks=(1, 1), strides=((2, 2),))
SOLID = UNetConfig(
    inputs=2, outputs=1, features=4, dimensions=3, channels=(8, 12), blocks=(1, 1), stem=(2, 1, 2), strides=((2, 1, 2),)
)


def _live(config: UNetConfig) -> UNet:
    """A network with no zero layer left, so that every input can reach the output."""
    torch.manual_seed(0)
    network = UNet(config)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("factor", [(2, 2), (1, 3), (2, 1, 2)])
def test_space_to_depth_inverts(factor: tuple[int, ...]) -> None:
    """Moving space into channels and back changes nothing."""
    x = torch.randn(2, 5, *(6 * f for f in factor))
    assert torch.equal(depth_to_space(space_to_depth(x, factor), factor), x)


def test_space_to_depth_agrees_with_torch() -> None:
    """In two dimensions it is torch's pixel_unshuffle."""
    x = torch.randn(2, 3, 8, 10)
    assert torch.equal(space_to_depth(x, (2, 2)), torch.nn.functional.pixel_unshuffle(x, 2))


@pytest.mark.parametrize(("config", "size"), [(PLANAR, (13, 22)), (SOLID, (9, 5, 14))])
def test_any_size_goes_in_and_comes_out(config: UNetConfig, size: tuple[int, ...]) -> None:
    """Sizes that no stride divides are padded and cropped, in two and in three dimensions."""
    y = _live(config)(torch.randn(2, config.inputs, *size), torch.zeros(2), torch.zeros(2, 4))
    assert y.shape == (2, config.outputs, *size)


def test_a_new_network_returns_zero() -> None:
    """The output layer starts at zero, so training starts from the interpolated measurement."""
    y = UNet(PLANAR).requires_grad_(False)(torch.randn(1, 3, 16, 16), torch.zeros(1), torch.zeros(1, 4))
    assert float(y.abs().max()) == 0


def test_the_result_of_a_voxel_does_not_depend_on_the_tile() -> None:
    """Nothing is normalised over space: a crop with enough margin gives the whole's values."""
    network, x = _live(PLANAR), torch.randn(1, 3, 96, 64)
    args = (torch.full((1,), 0.3), torch.randn(1, 4))
    whole = network(x, *args)
    part = network(x[:, :, 16:80], *args)
    assert torch.allclose(whole[:, :, 44:52], part[:, :, 28:36], atol=1e-5 * float(whole.abs().max()))


def test_members_of_a_batch_do_not_mix() -> None:
    """An image restored alone equals itself restored in a batch with its own label and description."""
    network = _live(PLANAR)
    x, label, description = torch.randn(3, 3, 16, 16), torch.rand(3), torch.randn(3, 4)
    alone = network(x[1:2], label[1:2], description[1:2])
    assert torch.allclose(network(x, label, description)[1:2], alone, atol=1e-6)


def test_label_and_description_matter() -> None:
    """The noise level and the acquisition reach the output."""
    network, x = _live(PLANAR), torch.randn(1, 3, 16, 16)
    base = network(x, torch.zeros(1), torch.zeros(1, 4))
    assert not torch.allclose(base, network(x, torch.ones(1), torch.zeros(1, 4)))
    assert not torch.allclose(base, network(x, torch.zeros(1), torch.ones(1, 4)))


@pytest.mark.parametrize(("config", "size"), [(PLANAR, (16, 32)), (SOLID, (8, 4, 16))])
def test_multiply_adds_are_those_counted_by_torch(config: UNetConfig, size: tuple[int, ...]) -> None:
    """The stated cost is what torch's own counter sees, but for the embedding."""
    from torch.utils.flop_counter import FlopCounterMode

    network, voxels = UNet(config), 1
    for n in size:
        voxels *= n
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, config.inputs, *size), torch.zeros(1), torch.zeros(1, 4))
    # Once an image, whatever its size, and so not counted: the embedding, and what it does to each block.
    once = sum(p.numel() for name, p in network.named_parameters()
               if p.ndim == 2 and ("embedding" in name or "modulation" in name))
    assert counter.get_total_flops() - 2 * once == pytest.approx(2 * network.multiply_adds * voxels, rel=1e-9)


def test_noise_labels_of_neighbouring_steps_differ() -> None:
    """The embedding tells the levels of a 30-step schedule apart by at least a hundredth of its scale."""
    torch.manual_seed(0)
    embedding = Embedding(0, 32).requires_grad_(False)
    sigma = torch.logspace(1.3, -2.7, 30)
    angle = torch.log(sigma)[:, None] / 4 * 2.0 ** torch.arange(8) * 0.7854
    e = embedding.input(torch.cat([angle.sin(), angle.cos()], 1))
    assert float(e.diff(dim=0).norm(dim=1).min()) > 1e-2 * float(e.std())
