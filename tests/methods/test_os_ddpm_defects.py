"""What the published program of OS-DDPM does wrong and this one does not, a number each (see docs/methods/os-ddpm.md).

Those of the distillation, OS-01 to 06, 11, 19 and 21, are with its tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from volume_priors import SMALL, live, shelf, smooth, stack, untrained
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.path import Ddpm
from voxprior.methods.os_ddpm import OsDdpm, Settings, rows
from voxprior.methods.result import Result
from voxprior.metrics import psnr
from voxprior.metrics.seams import seam_index
from voxprior.operators.base import Measurement
from voxprior.operators.profiles import interpolation_matrix
from voxprior.operators.separable import Separable, along
from voxprior.priors.volume import VolumePrior, VolumePriorConfig
from voxprior.priors.volume_bound import BoundVolume
from voxprior.training.examples import Batch
from voxprior.training.subject import Subject
from voxprior.training.volumes import VolumeExampleConfig, VolumeExamples
from voxprior.volume import SliceGeometry


def _run(prior: VolumePrior, measurement: Measurement, **options: Any) -> Result:
    return OsDdpm(shelf(prior))(measurement, Settings(**options), SeededNoise(0))


def _single(measurement: Measurement) -> Measurement:
    return Measurement(measurement.operator, measurement.y.float(), None, measurement.affine)


def test_07_thick_slices_are_means() -> None:
    """One sum was an assignment: the slices were the last phase over f, a constant a quarter of itself, and shifted."""
    operator = Separable.from_slices(SliceGeometry(2, 3, 4.0, 4.0, 12, 1.0), (1, 1, 3))
    ramp = torch.arange(12.0, dtype=torch.float64).reshape(1, 1, 1, 12)
    assert torch.allclose(operator.apply(ramp).flatten(), torch.tensor([1.5, 5.5, 9.5], dtype=torch.float64))
    assert torch.allclose(operator.apply(torch.ones_like(ramp)), torch.ones(1, 1, 1, 3, dtype=torch.float64))


def test_08_slices_stay_where_they_are() -> None:
    """Slices of a depth that f does not divide were stretched over the whole: 2 % of 155, 2.5 voxels at the far end."""
    ramp = torch.arange(155.0, dtype=torch.float64).reshape(1, 1, 1, 155)
    measurement = stack(ramp, 2, 4)
    g = measurement.operator.slices  # type: ignore[attr-defined]
    back = along(measurement.y, interpolation_matrix(g, 1), 2)[0, 0, 0]
    assert g.fine_count == 152
    assert torch.allclose(back[2:-2], ramp[0, 0, 0, 2:150], atol=1e-9)


def test_09_the_intensities_are_those_of_the_measurement_alone() -> None:
    """Truth and slices had each their own range: here the scale is that of y, and the result goes with it."""
    m = stack(smooth(12, 12, 16), 2, 4)
    one = _run(live(), _single(m), steps=3).mean
    many = _run(live(), _single(Measurement(m.operator, 300 * m.y, None, m.affine)), steps=3).mean
    assert torch.allclose(many, 300 * one, rtol=1e-4, atol=1e-3 * float(many.abs().max()))


def test_09_nothing_is_clamped() -> None:
    """A clamp to -1..1 cut what lay in 0..1 nowhere: values beyond the scale's 1 stay as the network gives them."""
    m = stack(3 * smooth(12, 12, 16), 2, 4)
    m.y[..., 6, 1] = 30.0
    assert float(_run(untrained(), _single(m)).mean.max()) > 10


@pytest.fixture(scope="module")
def examples() -> VolumeExamples:
    codes = np.broadcast_to(np.arange(1, 129, dtype=np.float32)[:, None, None], (128, 128, 128))
    subject = Subject("ramp", "fit", "T1w", np.ascontiguousarray(codes), (1.0, 1.0, 1.0), (0, 1, 2))
    return VolumeExamples(
        [subject], VolumeExampleConfig(cells=(4, 6), plane=(24, 24), factors=(4,), in_plane=0.0, labels=0.0)
    )


def test_10_every_depth_is_trained(examples: VolumeExamples) -> None:
    """Slices 64 to 106 of 128 were all that was ever seen: blocks begin everywhere, the ends are among them."""
    from voxprior.training.volumes import _cut

    starts = []
    for i in range(200):
        block = _cut(examples.subjects[0], np.random.default_rng(i), (40, 24, 24), (0,), 1.0)
        starts.append(float(block.image.min()))
    tops = [s * 127 for s in starts]
    assert min(tops) < 5 and max(tops) > 84


def test_12_iterative_sampling_runs() -> None:
    """The command asked for three colours, without slices, and could not run: every sampler does."""
    m = _single(stack(smooth(12, 12, 16), 2, 4))
    found = [_run(live(), m, steps=3, sampler=s).mean for s in ("ancestral", "ddim", "heun")]
    assert all(bool(torch.isfinite(x).all()) for x in found) and not torch.equal(found[0], found[1])


@pytest.mark.parametrize("steps", [2, 250, 999, 1000])
def test_13_any_number_of_steps(steps: int) -> None:
    """Draws of times failed for any table but that of 1000: whatever the number, the run falls from T to nothing."""
    for sampler in ("ancestral", "ddim"):
        found = rows(steps, sampler, 20.0)  # type: ignore[arg-type]
        sigmas = [s.sigma for s in found]
        assert len(found) == steps and sigmas == sorted(sigmas, reverse=True)
        assert sigmas[0] == Ddpm().sigma(999) and sigmas[-1] == Ddpm().sigma(0)


def test_14_the_network_is_told_the_time_itself() -> None:
    """Under respacing it was told the place in the run: the same noise level has one label, however many steps."""
    prior = live(process="ddpm-linear", sigma_max=157.4)
    labels = {}
    for steps in (rows(1000, "ddim", 1.0), rows(112, "ddim", 1.0)):
        labels[len(steps)] = {round(s.sigma, 9): _label(prior, s.sigma) for s in steps}
    shared = set(labels[1000]) & set(labels[112])
    assert len(shared) == 112 and all(labels[1000][s] == labels[112][s] for s in shared)
    assert _label(prior, Ddpm().sigma(499)) == pytest.approx(4 * 499 / 1000 - 2, abs=1e-6)


def _label(prior: VolumePrior, sigma: float) -> float:
    return float(prior.coefficients(torch.tensor([sigma], dtype=torch.float64), torch.ones(1)).label)


def test_15_the_variance_is_learned_or_refused() -> None:
    """An option asked for two outputs and made one: here each prior has its own, and unknown options are refused."""
    config = VolumePriorConfig(**SMALL)
    assert config.unet().outputs == config.cosines + config.variance_cosines
    with pytest.raises(ValueError, match="learn_sigma"):
        VolumePriorConfig(learn_sigma=True)  # type: ignore[call-arg]


def test_16_noise_levels_are_weighted_without_a_sampler_of_their_own(examples: VolumeExamples) -> None:
    """The importance sampler died on the numpy of today: examples need no state, and are drawn with what there is."""
    batch = examples.batch(0, 0, 2)
    assert isinstance(batch, Batch) and all(bool(torch.isfinite(t.float()).all()) for t in batch)


def test_17_several_samples_and_a_stated_range() -> None:
    """More than one sample crashed, and the range of PSNR was the maximum of the truth: both are said, here."""
    m = _single(stack(smooth(12, 12, 16), 2, 4))
    result = _run(live(), m, samples=3)
    assert result.samples is not None and len(result.samples) == 3 and result.calls == 3
    truth = np.linspace(0, 1, 60).reshape(3, 4, 5)
    assert psnr(truth + 0.1, truth, 2.0) - psnr(truth + 0.1, truth, 1.0) == pytest.approx(20 * np.log10(2))


def test_18_no_seams() -> None:
    """Slabs had noise of their own and no overlap: one field of noise, blended, leaves no step at their borders."""
    m = _single(stack(smooth(16, 16, 96), 2, 4))
    prior = live(tile=(24, 16, 16))
    whole, blended, published = _run(prior, m).mean, _run(prior, m, slab=16, overlap=8).mean, _apart(prior, m, 8)
    base, found, seams = (seam_index(x.numpy(), 2, range(8, 96, 8)) for x in (whole, blended, published))
    assert found <= 1.05 * base and seams > 1.5 * base


def _apart(prior: VolumePrior, m: Measurement, depth: int) -> Tensor:
    """Each slab from its own slices and its own noise, side by side, as the published program does."""
    parts = []
    for i, y in enumerate(m.y.split(depth // 4, dim=-1)):
        g = SliceGeometry(2, y.shape[-1], 4.0, 4.0, depth, 1.0)
        operator = Separable.from_axes((g,), tuple(y.shape[1:]))
        slab = Measurement(operator, y, None, m.affine)
        parts.append(OsDdpm(shelf(prior))(slab, Settings(), SeededNoise(100 + i)).mean)
    return torch.cat(parts, dim=-1)


def test_18_one_noise_field() -> None:
    """The noise of a voxel does not depend on how the volume is cut: pointwise networks give one answer."""
    m = _single(stack(smooth(8, 8, 48), 2, 4))
    prior = untrained(tile=(16, 8, 8), overlap=(4, 4, 4), sigma_max=0.5)
    whole = _run(prior, m).mean
    assert torch.allclose(_run(prior, m, slab=8, overlap=4).mean, whole, atol=1e-5)
    assert float((whole - BoundVolume(prior, m).leave(BoundVolume(prior, m).m)[0]).std()) > 1e-3


def test_20_array_order_and_place_are_kept() -> None:
    """Results were in another order with an affine of ones: a stack stored from the other end gives the same voxels."""
    truth = smooth(10, 12, 16)
    straight = _run(untrained(), _single(stack(truth, 2, 4))).mean
    turned_affine = np.diag([1.0, 1.0, -1.0, 1.0])
    turned = _run(untrained(), _single(stack(truth.flip(3), 2, 4, turned_affine))).mean
    assert straight.shape == (10, 12, 16)
    assert torch.allclose(turned.flip(2), straight, atol=1e-5)


def test_22_a_volume_is_read_once(examples: VolumeExamples) -> None:
    """Each crop loaded, zoomed and sorted its whole volume: subjects keep their image and its scale."""
    subject = examples.subjects[0]
    first = subject.image
    examples.batch(0, 3, 2)
    assert subject.image is first
