"""A volume prior's processes: known answers, and one denoiser whatever the network predicts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from volume_priors import live, untrained
from voxprior.diffusion.parameterisation import Converted
from voxprior.diffusion.path import CosineProduct, Ddpm
from voxprior.priors.volume import FEATURES, VolumePrior, VolumePriorConfig, parameters

PROCESSES = ("edm", "ddpm-linear", "cosine-product")
TOLD = (torch.tensor([4]), torch.tensor([0.3], dtype=torch.float64))


def _of(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _numbers(prior: VolumePrior, sigma: float, spread: float = 0.3) -> list[float]:
    return [float(v) for v in prior.coefficients(_of(sigma), _of(spread))]


@pytest.mark.parametrize(("t", "sigma"), [(0, 0.0100005), (499, 3.424137), (999, 157.40728)])
def test_linear_process_has_the_published_numbers(t: int, sigma: float) -> None:
    """D = x - sigma e of x_t = x / sqrt(1 + sigma^2), at the time of the table."""
    skip, out, inp, label = _numbers(untrained(process="ddpm-linear", sigma_max=157.5), sigma)
    assert (skip, out) == (1, -sigma)
    assert inp == pytest.approx(1 / math.hypot(1, sigma), rel=1e-5)
    assert label == pytest.approx(4 * t / 1000 - 2, abs=1e-3)


@pytest.mark.parametrize(
    ("t", "sigma", "abar"),
    [
        (10, 0.01688573, 0.99905048),
        (50, 0.18313891, 0.89944272),
        (100, 0.62672467, 0.43303552),
        (150, 2.17496135, 0.05963673),
        (200, 15.57226867, 0.00123561),
    ],
)
def test_cosine_product_has_the_published_numbers(t: int, sigma: float, abar: float) -> None:
    """x_t = sqrt(abar) x, and the network predicts noise of variance .3: D = x - sigma e / sqrt(.3)."""
    skip, out, inp, label = _numbers(untrained(process="cosine-product"), sigma)
    assert skip == 1 and out == pytest.approx(-sigma / math.sqrt(0.3), rel=1e-9)
    assert inp == pytest.approx(math.sqrt(abar), rel=5e-6)
    assert label == pytest.approx(4 * t / 1000 - 2, abs=1e-4)


def test_edm_has_the_published_numbers() -> None:
    """Karras et al. 2022, table 1, with the expected error of the interpolation as the std of the data."""
    skip, out, inp, label = _numbers(untrained(), 1.0, 0.5)
    assert (skip, out, inp) == pytest.approx((0.2, 0.5 / math.sqrt(1.25), 1 / math.sqrt(1.25)))
    assert label == 0 and _numbers(untrained(), 99.0)[3] == pytest.approx(math.log(20) / 4)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("sigma", [0.05, 0.7, 15.0])
def test_a_network_that_knows_the_answer_gives_the_image(process: Any, sigma: float) -> None:
    """What the network is to predict, put in its place, makes D the clean image: one frame for all processes."""
    prior = untrained(process=process)
    torch.manual_seed(0)
    x0, m, z = torch.randn(3, 1, 8, 4, 4, dtype=torch.float64).unbind(0)
    x = x0 + sigma * z
    c = prior.coefficients(_of(sigma), TOLD[1])
    answers = {
        "edm": (x0 - m - c.skip * (x - m)) / c.out,
        "ddpm-linear": z,
        "cosine-product": math.sqrt(0.3) * z,  # noise of variance .3
    }
    prior.raw = lambda *told: (answers[process], torch.zeros_like(x))  # type: ignore[method-assign]
    found = prior(x, m, TOLD[0], _of(sigma), TOLD[1], torch.zeros(1, FEATURES))
    assert torch.allclose(found.mean, x0, atol=1e-12)


@pytest.mark.parametrize("process", PROCESSES)
def test_std_is_in_image_units(process: Any) -> None:
    """The variance head speaks in the network's units: a log-variance v is a std of |out| exp(v/2)."""
    prior = untrained(process=process)
    x = torch.zeros(1, 8, 4, 4, dtype=torch.float64)
    prior.raw = lambda *told: (x, torch.full_like(x, 2 * math.log(3)))  # type: ignore[method-assign]
    found = prior(x, x, TOLD[0], _of(0.4), TOLD[1], torch.zeros(1, FEATURES))
    assert torch.allclose(found.std, 3 * prior.coefficients(_of(0.4), TOLD[1]).out.abs().expand_as(x))


@pytest.mark.parametrize("process", ["ddpm-linear", "cosine-product"])
@pytest.mark.parametrize("sigma", [0.03, 0.5, 8.0, 100.0])
def test_it_is_the_wrapped_network(process: Any, sigma: float) -> None:
    """The same as ``Converted`` makes of the network, beyond the trained levels too, where the label is held."""
    prior = live(process=process).double()
    torch.manual_seed(1)
    x, m = torch.randn(2, 1, 8, 8, 8, dtype=torch.float64).unbind(0)
    fine, spread = TOLD
    vector = torch.randn(1, FEATURES, dtype=torch.float64)
    unit = 1.0 if process == "ddpm-linear" else math.sqrt(0.3)

    def network(x_t: Tensor, label: float) -> Tensor:
        return prior.raw(x_t, m, fine, _of(label), vector)[0] / unit

    path = Ddpm() if process == "ddpm-linear" else CosineProduct()
    wrapped = Converted(network, path, "noise", (0.002, 20.0), lambda t: 4 * t / 1000 - 2)
    found = prior(x, m, fine, _of(sigma), spread, vector).mean
    assert torch.allclose(found, wrapped(x, sigma), rtol=1e-9, atol=1e-9)


def test_an_untrained_prior_is_the_interpolation() -> None:
    """So training starts from it: the mean estimate is m, and its std the spread."""
    prior = untrained()
    m, spread = torch.rand(2, 8, 4, 4), torch.tensor([0.2, 0.4])
    found = prior.regress(m, torch.tensor([4, 4]), spread, torch.zeros(2, FEATURES))
    assert torch.allclose(found.mean, m)
    sizes = found.std.mean(dim=(1, 2, 3))
    assert torch.allclose(sizes, spread, rtol=1e-3)


@pytest.mark.parametrize("process", PROCESSES)
def test_every_input_matters(process: Any) -> None:
    """Noisy volume, measurement, level and description each change the answer; members of a batch do not mix."""
    prior = live(process=process)
    torch.manual_seed(2)
    x, m = torch.randn(2, 2, 8, 8, 8).unbind(0)
    asked = [x, m, torch.tensor([4, 4]), torch.tensor([0.3, 1.0]), torch.tensor([0.2, 0.3]), torch.randn(2, FEATURES)]
    first = prior(*asked).mean
    for i in (0, 1, 3, 5):
        changed = [*asked[:i], asked[i] * 1.5, *asked[i + 1 :]]
        assert not torch.allclose(prior(*changed).mean, first)
    alone = prior(*(a[1:] for a in asked)).mean
    assert torch.allclose(alone, first[1:], atol=1e-5)


def test_the_cost_is_that_of_cells() -> None:
    """Twice as many fine slices a cell: half of the work a fine voxel; the shipped design is below five thousand."""
    prior = VolumePrior(VolumePriorConfig())
    assert prior.multiply_adds(8) == prior.multiply_adds(4) / 2 and prior.multiply_adds(4) < 5000
    assert parameters(prior) == sum(p.numel() for p in prior.parameters())
