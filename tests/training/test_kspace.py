"""Examples of k-space: what the network sees is what undersampled coils would have given of the truth beside it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from voxprior.diffusion.subspace import highpass
from voxprior.errors import InputError
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import fft
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.training.config import FitConfig
from voxprior.training.data import load_subjects
from voxprior.training.fit import fit
from voxprior.training.kspace import KspaceExamples, acquire
from voxprior.training.loss import denoising_loss, noise_levels
from voxprior.training.publish import publish
from voxprior.training.slices import HeadSlices, KspaceConfig, load_slices, smooth_phase
from voxprior.training.task import make_task

CONFIG = KspaceConfig(coils=(1, 4), patch=32, matrix=(40, 56), acs=(8, 12), acceleration=(2.0, 4.0))
PRIOR = SlicePriorConfig(slab=2, halo=0, channels=(8, 8), blocks=(1, 1), image_std=0.3)


def _fit_config(data: Path, output: Path, **changes: object) -> FitConfig:
    values = {"data": data, "output": output, "prior": PRIOR, "examples": CONFIG, "steps": 4, "batch": 4, "warmup": 2,
              "decay": 2, "accelerator": "cpu", "validate_every": 100, "save_every": 2}
    return FitConfig(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def examples(data_folder: Path) -> KspaceExamples:
    return KspaceExamples(load_slices(data_folder, CONFIG), CONFIG, PRIOR.image_std)


def test_a_batch_is_a_function_of_seed_and_step(examples: KspaceExamples) -> None:
    """The same numbers give the same batch, another step another one."""
    one, two, other = examples.batch(1, 2, 4), examples.batch(1, 2, 4), examples.batch(1, 3, 4)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one.truth, other.truth)


def test_examples_are_finite_and_of_their_kind(examples: KspaceExamples) -> None:
    """Unconditional examples have no m; the others have one that is nearer to the truth than nothing is."""
    batches = [examples.batch(0, step, 8) for step in range(6)]
    truth, m, kind = (torch.cat([getattr(b, name) for b in batches]) for name in ("truth", "m", "kind"))
    assert truth.shape[1:] == (2, 32, 32) and bool(torch.isfinite(m).all())
    assert set(kind.tolist()) == {0, 1, 2}
    assert bool((m[kind == 2] == 0).all())
    measured = kind < 2
    assert float((truth - m)[measured].square().mean()) < 0.25 * float(truth[measured].square().mean())


def test_data_outside_the_mask_are_zero_and_the_noise_is_as_told(examples: KspaceExamples) -> None:
    """k-space of an example is A x plus noise of the stated std, where it is measured, and nothing elsewhere."""
    rng = np.random.default_rng(5)
    truth = (rng.standard_normal((48, 40)) + 1j * rng.standard_normal((48, 40))).astype(np.complex64)
    measurement = acquire(truth, rng, CONFIG)
    operator = measurement.operator
    residual = measurement.y - operator.apply(torch.from_numpy(truth)[None])
    mask = operator.mask  # type: ignore[attr-defined]
    assert bool((measurement.y[..., ~mask] == 0).all())
    spread = torch.view_as_real(residual[..., mask]).std()
    assert float(spread) == pytest.approx(float(measurement.sigma or 0), rel=0.1)


def test_the_phase_is_smooth() -> None:
    """Neighbouring pixels differ by much less than half a turn, wherever the draw."""
    for seed in range(20):
        phase = smooth_phase((96, 80), np.random.default_rng(seed))
        assert max(np.abs(np.diff(phase, axis=a)).max() for a in (0, 1)) < 0.8


def test_a_kspace_prior_trains_publishes_and_knows_its_range(data_folder: Path, tmp_path: Path) -> None:
    """The one loop trains it, and the card names coils, masks and what it was compared with."""
    config = _fit_config(data_folder, tmp_path / "run")
    fit(config)
    card = publish(config, tmp_path / "small.safetensors")
    assert card["trained_range"]["coils"] == [1, 4]
    assert len(card["figures"]["gain_over_reconstruction"]) == 6


def test_the_loss_outside_the_central_lines_sees_nothing_inside(data_folder: Path, tmp_path: Path) -> None:
    """HFS: noise and error live in the high frequencies; a change of the output inside changes no gradient."""
    config = _fit_config(data_folder, tmp_path, examples=CONFIG.model_copy(update={"acs_lines": 6}))
    task = make_task(config)
    batch = task.batch(0, 0, 2)
    prior = SlicePrior(PRIOR)
    torch.nn.init.normal_(prior.network.head.weight, std=0.1)
    sigma = noise_levels(batch, prior, 1.2, torch.Generator().manual_seed(0))
    noise = torch.randn(batch.truth.shape, generator=torch.Generator().manual_seed(1))
    high = task.diffusing(noise)
    spectrum = fft(torch.complex(high[:, 0], high[:, 1]), (-2, -1))
    for image, axis in zip(spectrum, (1, None), strict=True):  # lines, as 1-D masks have them, and the square
        assert float(image[~highpass((32, 32), 6, axis)].abs().max()) < 1e-5
    a = denoising_loss(prior, batch, sigma, noise, 0.0, task.diffusing).error
    low = noise - high
    b = denoising_loss(prior, batch, sigma, noise + 3 * low, 0.0, task.diffusing).error
    assert torch.allclose(a, b, rtol=1e-3)
    assert not torch.allclose(a, denoising_loss(prior, batch, sigma, noise, 0.0).error, rtol=1e-3)


def test_subjects_without_two_fine_axes_are_refused(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice needs two axes of true resolution."""
    monkeypatch.setattr("voxprior.training.slices.load_subjects", lambda data, roles: load_subjects(data, ("tune",)))
    with pytest.raises(InputError, match="two fine axes"):
        HeadSlices(data_folder, CONFIG)


@pytest.fixture(scope="module")
def fastmri_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files in the layout of fastMRI: (slice, coil, read-out, phase encoding), no header."""
    folder = tmp_path_factory.mktemp("fastmri")
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 40), indexing="ij")
    for n in range(3):
        maps = simulate_maps((48, 40), 3, rng)
        images = np.stack([(y**2 + (1 + 0.1 * k) * x**2 < 0.6) * np.exp(1j * y) for k in range(2)])
        kspace = fft(torch.from_numpy((images[:, None] * maps).astype(np.complex64)), (-2, -1)).numpy()
        with h5py.File(folder / f"file{n}.h5", "w") as file:
            file["kspace"] = kspace
            file.attrs["acquisition"] = "AXT2"
    return folder


def test_the_same_settings_take_a_folder_of_fastmri_files(fastmri_folder: Path, tmp_path: Path) -> None:
    """Examples come from its files, the first is held back, and training runs to a card that says so."""
    config = _fit_config(fastmri_folder, tmp_path / "run")
    slices = load_slices(fastmri_folder, CONFIG)
    assert list(slices.held()) == ["file0.h5"]
    drawn = slices.draw(np.random.default_rng(0))
    assert 0.8 < float(np.percentile(np.abs(drawn), 99)) < 1.3 and min(drawn.shape) >= 32
    fit(config)
    assert publish(config, tmp_path / "own.safetensors")["data"]["files"] == 2
