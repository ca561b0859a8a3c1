"""One step: a student's call, blended over tiles, then the exact projection onto the slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from volume_priors import live, smooth, stack, untrained
from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.methods.voxprior import Settings, Voxprior
from voxprior.operators.base import Measurement
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import export

CARD = {"licence": "CC0", "data": {}, "training": {}, "figures": {}}


def _written(path: Path, prior: VolumePrior, level: float, start: str = "degraded") -> str:
    export(prior, path, {**CARD, "student": {"start": start, "level": level}})
    return str(path)


def _single(measurement: Measurement) -> Measurement:
    return Measurement(measurement.operator, measurement.y.float(), measurement.sigma, measurement.affine)


@pytest.mark.parametrize("factor", [3.0, 4.0, 3.5])
def test_an_identity_student_gives_exactly_the_projection(tmp_path: Path, factor: float) -> None:
    """A student that adds nothing to the interpolated slices leaves their nearest image that explains the slices."""
    measurement = _single(stack(smooth(37, 28, 21), 1, factor))
    prior = untrained()
    weights = _written(tmp_path / "identity.safetensors", prior, 0.0)
    result = Voxprior()(measurement, Settings(mode="one-step", weights=weights), SeededNoise(0))
    bound = BoundVolume(prior, measurement)
    expected = measurement.operator.prox(bound.leave(bound.m), measurement.y, 0.0)[0]
    torch.testing.assert_close(result.mean, expected, rtol=0, atol=2e-6)
    assert result.calls == 1


def test_a_student_explains_the_slices_whatever_it_says(tmp_path: Path) -> None:
    """The residual after the projection is rounding, for a network of noise too."""
    measurement = _single(stack(smooth(37, 50, 21), 1, 3.5))
    weights = _written(tmp_path / "live.safetensors", live(), 1.0)
    result = Voxprior()(measurement, Settings(mode="one-step", weights=weights), SeededNoise(0))
    left = measurement.operator.apply(result.mean[None]) - measurement.y
    assert float(left.norm() / measurement.y.norm()) < 1e-5
    assert result.std is not None and bool((result.std > 0).all())


def test_samples_are_one_call_each_and_differ(tmp_path: Path) -> None:
    """K samples take K calls, do not depend on K, and their mean is the image."""
    measurement = _single(stack(smooth(20, 24, 21), 1, 4.0))
    weights = _written(tmp_path / "live.safetensors", live(), 1.0)
    one = Voxprior()(measurement, Settings(mode="one-step", weights=weights), SeededNoise(3))
    four = Voxprior()(measurement, Settings(mode="one-step", weights=weights, samples=4), SeededNoise(3))
    assert four.calls == 4 and four.samples is not None
    torch.testing.assert_close(four.samples[0], one.mean)
    torch.testing.assert_close(four.mean, four.samples.mean(0))
    assert float((four.samples[0] - four.samples[1]).abs().max()) > 1e-4


def test_weights_of_many_steps_are_refused(tmp_path: Path) -> None:
    """Only weights whose card says what they start from are used in one step."""
    export(live(), tmp_path / "teacher.safetensors", CARD)
    measurement = _single(stack(smooth(20, 24, 21), 1, 4.0))
    with pytest.raises(InputError, match="not distilled"):
        settings = Settings(mode="one-step", weights=str(tmp_path / "teacher.safetensors"))
        Voxprior()(measurement, settings, SeededNoise(0))
    with pytest.raises(InputError, match="slice-prior"):
        Voxprior()(measurement, Settings(mode="one-step", weights="head-slices"), SeededNoise(0))


def test_the_result_scales_with_the_scan(tmp_path: Path) -> None:
    """Other units, the same picture."""
    measurement = _single(stack(smooth(20, 24, 21), 1, 4.0))
    settings = Settings(mode="one-step", weights=_written(tmp_path / "live.safetensors", live(), 1.0))
    one = Voxprior()(measurement, settings, SeededNoise(3)).mean
    scaled = Measurement(measurement.operator, 250 * measurement.y, None, measurement.affine)
    many = Voxprior()(scaled, settings, SeededNoise(3)).mean
    np.testing.assert_allclose(many.numpy() / 250, one.numpy(), atol=1e-4)
