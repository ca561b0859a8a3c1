"""Every registered method passes the same contract on a slice stack of an analytic head."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from phantoms import HEAD
from volume_priors import untrained
from voxprior import registry
from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.methods.result import Result
from voxprior.operators.base import Measurement, Stack
from voxprior.operators.separable import Separable
from voxprior.priors.weights import export
from voxprior.volume import SliceGeometry

METHODS = sorted(registry.METHODS["sr"])
CONSISTENT = {"voxprior", "cubic-projected"}
QUICK = {"tpdm": {"steps": 60}}
"""Options of methods whose published settings take hours."""
UNTRAINED = {"os-ddpm"}
"""Methods that take a volume prior: one that adds nothing to the interpolated slices."""
SLACK = {"tpdm": 1.1}
"""How much worse than repeated slices a single sample of few steps may be."""
SLICES = SliceGeometry(2, 6, 6.0, 5.0, 18, 2.0)
AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])


def _measurement(unit: float = 1.0) -> Measurement:
    data = unit * HEAD.slices((18, 22), (2.0, 2.0), (np.arange(6) - 2.5) * 6.0, 5.0)
    operator = Separable.from_slices(SLICES, data.shape)
    return Measurement(operator, torch.from_numpy(data).float()[None], None, AFFINE)


@cache
def _untrained() -> str:
    path = Path(mkdtemp()) / "untrained.safetensors"
    export(untrained(), path, {"licence": "CC0", "data": {}, "training": {}, "figures": {}})
    return str(path)


def _options(name: str) -> Any:
    weights = {"weights": _untrained()} if name in UNTRAINED else {}
    return registry.resolve(name).Options(**QUICK.get(name, {}), **weights)


@cache
def _run(name: str, unit: float = 1.0, repeat: int = 0) -> Result:
    method = registry.resolve(name)
    result: Result = method(_measurement(unit), _options(name), SeededNoise(3))
    return result


@pytest.mark.parametrize("name", METHODS)
def test_it_says_who_it_is(name: str) -> None:
    """Every table and sidecar names the method and where it comes from; its options cannot be mistyped."""
    method = registry.resolve(name)
    assert method.name == name and method.citation
    config = method.Options.model_config
    assert config.get("frozen") and config.get("extra") == "forbid"
    with pytest.raises(ValidationError):
        method.Options(no_such_option=1)


@pytest.mark.parametrize("name", METHODS)
def test_the_result_is_a_finite_image_on_the_fine_grid(name: str) -> None:
    """Wrong shapes, NaN, a lost std or complex output would reach a file."""
    result = _run(name)
    assert result.mean.shape == (18, 22, 18) and result.mean.dtype == torch.float32
    for image in (result.mean, *([] if result.std is None else [result.std])):
        assert image.shape == result.mean.shape and torch.isfinite(image).all()
    assert result.std is None or bool((result.std >= 0).all())


@pytest.mark.parametrize("name", METHODS)
def test_the_same_run_gives_the_same_bits(name: str) -> None:
    """Users of other tools complain of the same input and another answer."""
    assert torch.equal(_run(name).mean, _run(name, repeat=1).mean)


@pytest.mark.parametrize("name", METHODS)
def test_the_result_carries_the_units_of_the_input(name: str) -> None:
    """An intensity scale that is not undone, or that is absolute, shows when the unit changes."""
    plain, scaled = _run(name).mean, _run(name, unit=250.0).mean
    assert torch.allclose(scaled / 250, plain, atol=1e-3 * float(plain.abs().max()))


@pytest.mark.parametrize("name", METHODS)
def test_it_is_no_worse_than_the_slices_repeated(name: str) -> None:
    """A flip, a shift or a lost scale would make any method worse than none, by far."""
    truth = HEAD.slices((18, 22), (2.0, 2.0), (np.arange(18) - 8.5) * 2.0, 2.0)

    def error(method: str) -> float:
        return float(np.sqrt(np.mean((_run(method).mean.numpy() - truth) ** 2)))

    assert error(name) <= SLACK.get(name, 1.0) * error("nearest")


@pytest.mark.parametrize("name", sorted(CONSISTENT))
def test_the_projection_is_exact(name: str) -> None:
    """The certificate promises a residual of at most 1e-4."""
    measurement = _measurement()
    back = measurement.operator.apply(_run(name).mean[None])
    assert float((back - measurement.y).norm() / measurement.y.norm()) < 1e-4


@pytest.mark.parametrize("name", METHODS)
def test_another_kind_of_measurement_is_refused_in_one_line(name: str) -> None:
    """A method that cannot use a measurement says so instead of failing somewhere inside."""
    one = Separable.from_slices(SLICES, (18, 22, 6))
    stack = Stack([one, one], [one.data_shape, one.data_shape])
    method = registry.resolve(name)
    with pytest.raises(InputError) as caught:
        method(Measurement(stack, torch.zeros(1, 2 * 18 * 22 * 6), None, AFFINE), _options(name), SeededNoise(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", METHODS)
def test_progress_ends_at_its_total(name: str) -> None:
    """A bar that stops short, or runs over, tells users the wrong time."""
    seen: list[tuple[int, int]] = []
    method = registry.resolve(name)
    method(_measurement(), _options(name), SeededNoise(0), lambda done, total: seen.append((done, total)))
    assert all(done <= total for done, total in seen)
    assert seen and seen[-1][0] == seen[-1][1]
