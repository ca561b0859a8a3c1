"""Reconstruction in memory: coils, sensitivities, noise, masks, and what comes back in which units."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import scans
import voxprior
from phantoms import HEAD_SLICE, sensitivities
from voxprior import registry
from voxprior.errors import InputError
from voxprior.io.kspace.file import KspaceFile
from voxprior.jobs.acquire import Acquired, acquire, receiver
from voxprior.jobs.job import method_options
from voxprior.jobs.options import ReconOptions
from voxprior.jobs.recon import NOT_FORETOLD, Reconstructed, reconstruct_slice, reconstruct_stack
from voxprior.jobs.recon_request import asked_mask, resolved, sampling
from voxprior.methods.baselines import NoOptions
from voxprior.methods.result import Result
from voxprior.operators.masks import Mask, detect_mask

SENSE = ReconOptions(method="sense")


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


class Run(NamedTuple):
    """What was acquired, and what was made of it."""

    acquired: Acquired
    found: Reconstructed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.found if hasattr(self.found, name) else self.acquired, name)


def run(kspace: np.ndarray, options: ReconOptions = SENSE, maps: Any = None, noise: Any = None) -> Run:
    acquired = acquire(kspace, detect_mask(kspace), maps, receiver(noise, options), options)
    return Run(acquired, reconstruct_slice(acquired, options))


def test_full_data_and_the_true_maps_give_the_image_back() -> None:
    """Guards the scale: with sum |maps|^2 = 1 the image of complete data is that of the coils combined, to 1e-5."""
    made = scans.scan()
    found = run(made.kspace, maps=made.maps)
    assert relative(found.image, made.image) < 1e-5
    assert np.abs(found.invented).max() < 1e-5
    assert found.missed.sum() < 1e-10 * found.energy.sum()
    assert run(made.kspace, maps=7j * made.maps).image == pytest.approx(found.image * -1j, abs=1e-5)


def test_full_data_give_the_sense_image_of_found_maps() -> None:
    """Guards ESPIRiT in the chain: the found maps are normalised, and the image is their combination of the coils."""
    made = scans.scan()
    found = run(made.kspace)
    power = np.square(np.abs(found.maps)).sum(axis=0)
    assert np.allclose(power[power > 0], 1, atol=1e-4)
    coil_images = scans.fourier(made.kspace.conj(), (1, 2)).conj()
    inside = power > 0
    assert relative(found.image[inside], (found.maps.conj() * coil_images).sum(axis=0)[inside]) < 1e-5
    head = np.abs(made.image) > 0.2
    assert relative(np.abs(found.image[head]), np.abs(made.image[head])) < 0.02


def test_an_input_ten_times_as_large_gives_an_image_ten_times_as_large() -> None:
    """Guards units: image, noise and maps of an undersampled, noisy slice, with and without a noise scan."""
    made = scans.scan(noise=0.01)
    data = made.kspace * scans.lines(48, 3, 16)
    noise = np.random.default_rng(3).standard_normal((5, 500, 2)) @ [0.01, 0.01j]
    for scan in (None, noise.astype(np.complex64)):
        one = run(data, noise=scan)
        ten = run(10 * data, noise=None if scan is None else 10 * scan)
        assert relative(ten.image, 10 * one.image) < 1e-4
        assert np.abs(ten.invented - 10 * one.invented).max() < 1e-3 * np.abs(ten.image).max()
        assert ten.noise == pytest.approx(10 * one.noise, rel=1e-4)
        assert relative(ten.maps, one.maps) < 1e-4


def test_coils_that_are_white_already_are_left_as_they_are() -> None:
    """Guards the unit of whitened data: equal independent noise changes nothing but tells its level."""
    made = scans.scan(coils=4)
    rng = np.random.default_rng(0)
    noise = 1e-4 * (rng.standard_normal((4, 200_000)) + 1j * rng.standard_normal((4, 200_000)))
    known = receiver(noise.astype(np.complex64), SENSE)
    assert known.noise == pytest.approx(1e-4, rel=0.01)
    assert known.source == "given"
    assert known.whitening == pytest.approx(np.eye(4), abs=0.01)
    found = run(made.kspace, noise=noise.astype(np.complex64), maps=made.maps)
    assert relative(found.image, made.image) < 0.005


def test_whitening_makes_correlated_noise_of_the_stated_level() -> None:
    """Guards the chain of matrices: what the operator sees of a noise scan is white with the std in the certificate."""
    rng = np.random.default_rng(2)
    mix = np.eye(5) + 0.4 * rng.standard_normal((5, 5))
    noise = mix @ (rng.standard_normal((5, 100_000)) + 1j * rng.standard_normal((5, 100_000)))
    found = run(scans.scan().kspace, ReconOptions(method="sense", coils=3), noise=noise.astype(np.complex64))
    assert found.matrix.shape == (3, 5)
    seen = found.matrix @ noise
    covariance = seen @ seen.conj().T / (2 * seen.shape[1])
    assert covariance == pytest.approx(found.noise**2 * np.eye(3), abs=0.02 * found.noise**2)


def test_given_noise_is_taken_and_unknown_noise_is_measured() -> None:
    """Guards --noise and the words of the certificate."""
    made = scans.scan(shape=(64, 64), noise=0.02)
    given = run(made.kspace, ReconOptions(method="sense", noise=0.5))
    assert (given.noise, given.source) == (0.5, "given")
    measured = run(made.kspace)
    assert measured.source == "kspace"
    assert measured.noise == pytest.approx(0.02, rel=0.25)


def test_virtual_coils_hold_the_image() -> None:
    """Guards compression: few virtual coils of many show the same object, under maps that are theirs."""
    made = scans.scan(coils=10)
    all_coils = run(made.kspace, maps=made.maps)
    few = run(made.kspace, ReconOptions(method="sense", coils=6), maps=made.maps)
    assert few.maps.shape == (6, 40, 48)
    assert relative(np.abs(few.image), np.abs(all_coils.image)) < 0.05


def test_a_volume_is_one_image_by_the_same_code() -> None:
    """Guards 3-D: undersampled along both phase encodings, maps found slice by slice and joined without jumps."""
    made = scans.volume()
    keep = (scans.lines(10, 2, 8)[:, None, None] & np.ones((1, 16, 1), bool)) & scans.lines(24, 2, 18)
    found = run(made.kspace * keep)
    assert found.image.shape == (10, 16, 24)
    head = np.abs(made.image) > 0.2
    assert relative(np.abs(found.image[head]), np.abs(made.image[head])) < 0.1
    full = run(made.kspace, maps=made.maps)
    assert relative(full.image, made.image) < 1e-5
    turn = np.angle((found.maps[:, :, 1:].conj() * found.maps[:, :, :-1]).sum(axis=(0, 1, 3)))
    assert np.abs(turn).max() < 0.01


def test_a_stack_is_one_volume_to_methods_that_look_across_slices(monkeypatch) -> None:
    """Guards the other way through the job: with a method that does not look across, it gives the slices' images."""
    made = [scans.scan(shift=shift) for shift in (0.0, 0.4, 0.8)]
    keep = scans.lines(48, 3, 16)
    acquired = [
        acquire(m.kspace * keep, detect_mask(m.kspace * keep), m.maps, receiver(None, SENSE), SENSE) for m in made
    ]
    options = ReconOptions(method="zero-filled")
    found = reconstruct_stack(acquired, options, None, False)
    for one, part in zip(acquired, found, strict=True):
        alone = reconstruct_slice(one, options)
        assert relative(part.image, alone.image) < 1e-5
        assert part.missed == pytest.approx(alone.missed, rel=1e-4)
        assert part.image.shape == (40, 48)
    monkeypatch.setitem(sys.modules, "adjoint_method", SimpleNamespace(adjoint=Adjoint()))
    monkeypatch.setitem(registry.METHODS["recon"], "adjoint", "adjoint_method:adjoint")
    real = reconstruct_stack(acquired, ReconOptions(method="adjoint"), None, True)[0].image
    assert relative(real, found[0].image.real) < 1e-5


class Adjoint:
    """A method for any operator."""

    name, citation, Options = "adjoint", "this test", NoOptions

    def __call__(self, measurement: Any, options: Any, rng: Any, progress: Any = None) -> Result:
        return Result(measurement.operator.adjoint(measurement.y)[0])


def test_every_slice_has_random_numbers_of_its_own(monkeypatch) -> None:
    """Guards against one noise for all slices, which would show as the same error in each; the seed determines all."""
    seen: list[torch.Tensor] = []

    class Listening(Adjoint):
        def __call__(self, measurement: Any, options: Any, rng: Any, progress: Any = None) -> Result:
            seen.append(rng(0, 0, (3,)))
            return super().__call__(measurement, options, rng, progress)

    monkeypatch.setitem(sys.modules, "adjoint_method", SimpleNamespace(adjoint=Listening()))
    monkeypatch.setitem(registry.METHODS["recon"], "adjoint", "adjoint_method:adjoint")
    stack, maps = np.stack([scans.scan().kspace] * 2), scans.scan().maps
    for seed in (0, 0, 1):
        voxprior.reconstruct(stack, maps=maps, method="adjoint", seed=seed)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[3])
    assert not any(torch.equal(seen[4], other) for other in seen[:4])


def test_a_mask_that_changes_along_every_axis_needs_maps() -> None:
    """Guards 3-D calibration: it cannot be done slice by slice then, and the message says what to give."""
    made = scans.volume(coils=2)
    keep = np.random.default_rng(0).random((10, 16, 24)) < 0.9
    with pytest.raises(InputError, match="--maps"):
        run(made.kspace * keep)
    assert run(made.kspace * keep, maps=made.maps).source == "unknown"


def test_without_calibration_lines_there_is_a_message() -> None:
    """Guards the first of the bad inputs: no fully sampled centre and no maps."""
    made = scans.scan()
    keep = np.arange(48) % 3 == 0
    with pytest.raises(InputError, match="give maps"):
        run(made.kspace * keep)


def test_one_coil_needs_no_maps_and_agrees_with_the_formula() -> None:
    """Guards the single coil: the zero-filled image is the least-norm one, and A x = y."""
    image = scans.head((32, 40))
    data = (scans.fourier(image, (0, 1)) * scans.lines(40, 2, 12)).astype(np.complex64)[None]
    found = run(data, ReconOptions(method="sense", noise=1e-7))
    assert (found.maps == 1).all()
    plain = scans.fourier(data[0].conj(), (0, 1)).conj()
    assert relative(found.image, plain) < 1e-5
    assert relative(found.plain, plain) < 1e-6


def file_of(data: np.ndarray, **more: Any) -> KspaceFile:
    return KspaceFile("test", Path("in.npz"), 1, len(data), data.shape[1:], lambda index: data, **more)


def test_masks_come_from_the_option_the_file_or_the_data() -> None:
    """Guards which mask is used, and that its name says where it is from."""
    data = scans.scan().kspace * scans.lines(48, 2, 16)
    from_data, absent = sampling(file_of(data), None, data, 0)
    assert from_data.name == "data"
    assert from_data.acceleration == pytest.approx(48 / 32)
    assert not absent.any()
    keep = np.broadcast_to(scans.lines(48, 4, 16), (40, 48))
    assert sampling(file_of(data, mask=keep), None, data, 0)[0].name == "file"
    full = scans.scan().kspace
    asked = asked_mask(ReconOptions(mask="uniform:4:16", mask_seed=3), file_of(full))
    assert asked is not None
    used, absent = sampling(file_of(full), asked, full, 0)
    assert (used.nominal, used.acs, used.seed, used.name) == (4, 16, 3, "uniform")
    assert used.acceleration == pytest.approx(48 / (16 + 8))


def test_lines_that_are_not_there_cannot_be_asked_for() -> None:
    """Guards --mask on undersampled data, and that zero-padding at the edges is no reason to refuse."""
    full = scans.scan().kspace
    asked = asked_mask(ReconOptions(mask="uniform:2:16"), file_of(full))
    data = full * (np.arange(48) % 3 != 1)
    with pytest.raises(InputError, match="undersampled already"):
        sampling(file_of(data), asked, data, 0)
    padded = full.copy()
    padded[:, :, :5] = 0
    used, absent = sampling(file_of(padded), asked, padded, 0)
    assert absent.any()
    assert not used.keep[:, :5].any()
    assert used.acceleration > Mask(asked.keep, "x").acceleration


def test_a_named_mask_of_a_volume_lies_in_the_plane_of_the_phase_encodings() -> None:
    """Guards 3-D masks: constant along the read-out, the axis before the last."""
    data = scans.volume().kspace
    asked = asked_mask(ReconOptions(mask="poisson:3:6"), file_of(data))
    assert asked is not None
    assert (asked.keep == asked.keep[:, :1]).all()
    assert 0 < asked.keep[:, 0].sum() < asked.keep[:, 0].size


def test_samples_ask_for_the_sampling_mode_and_simulations_have_a_mask() -> None:
    """Guards what options imply."""
    assert resolved(ReconOptions(samples=4), False).mode == "sample"
    assert resolved(ReconOptions(samples=4, method="sense"), False).mode is None
    assert resolved(ReconOptions(), True).mask == "uniform:4:24"
    assert resolved(ReconOptions(mask="random:3:8"), True).mask == "random:3:8"
    with pytest.raises(ValidationError):
        ReconOptions(masks="uniform:4:24")


def test_published_knobs_go_to_the_methods_that_have_them() -> None:
    """Guards --snr, --mse and --corrector-mse: passed on, and a warning where there is no such knob."""
    options = ReconOptions(method="hfs-sde", snr=0.2, mse=3.0, corrector_mse=0.5, steps=200, acs=8, solver="ode")
    values, ignored = method_options(registry.resolve("hfs-sde", "recon"), options, "cpu")
    assert (values.snr, values.mse, values.corrector_mse, values.steps, values.acs) == (0.2, 3.0, 0.5, 200, 8)
    assert ignored == ()
    _, ignored = method_options(registry.resolve("voxprior", "recon"), ReconOptions(corrector_mse=0.5), "cpu")
    assert ignored == ("--corrector-mse has no effect with --method voxprior",)


def test_python_gives_what_the_job_gives_in_the_kind_that_came() -> None:
    """Guards voxprior.reconstruct: stacks, tensors, progress, and the values of a sidecar."""
    made = [scans.scan(shift=s).kspace for s in (0.0, 0.5)]
    stack = np.stack(made)
    seen: list[tuple[int, int]] = []
    options = {"mask": "uniform:3:20", "method": "sense", "maps": scans.scan().maps}
    found = voxprior.reconstruct(stack, **options, progress=lambda *d: seen.append(d))
    assert found.image.shape == (2, 40, 48)
    assert found.maps.shape == (2, 5, 40, 48)
    assert found.mask.shape == (40, 48)
    assert seen[-1][0] == seen[-1][1]
    assert found.sidecar["acceleration"]["nominal"] == 3
    assert found.sidecar["certificate"]["output_sha256"] is None
    assert len(found.sidecar["certificate"]["residual_per_slice"]) == 2
    one = voxprior.reconstruct(torch.from_numpy(made[0]), **options)
    assert isinstance(one.image, torch.Tensor)
    assert relative(one.image.numpy(), found.image[0]) < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": np.ones((3, 40, 48), np.complex64)}, "5"),
        ({"mask": np.ones((40, 40), bool)}, "does not fit"),
        ({"mask": np.zeros((40, 48), bool)}, "no sample"),
        ({"mask": "uniform:0:8"}, "acceleration"),
        ({"mask": "star:4:8"}, "unknown"),
        ({"method": "magic"}, "--method magic is unknown"),
        ({"steps": 1}, "option steps"),
        ({"noise_scan": np.ones((4, 9), np.complex64)}, "coils"),
    ],
)
def test_mistakes_in_memory_are_input_errors(change: dict[str, Any], message: str) -> None:
    """Guards the library door: one line each."""
    with pytest.raises(InputError, match=message) as caught:
        voxprior.reconstruct(scans.scan().kspace, **{"method": "sense", **change})
    assert "\n" not in str(caught.value)


def test_the_error_is_measured_on_withheld_samples_and_the_interval_says_so() -> None:
    """Guards the calibrated interval: its word, one more reconstruction, a std of the size of the error; and of a stack
    that the ratio is handed on between the slices on which it is measured."""
    made, options = scans.scan((64, 64), noise=0.01), ReconOptions(steps=3)
    kspace = made.kspace * scans.lines(64, 3, 16)
    found = run(kspace, options, maps=made.maps)
    said = found.notes["interval"]
    assert said["calibrated"] and said["kind"] == "recon coils mean"
    assert said["std_of"] == "the error on withheld samples"
    assert found.calls == 6 and found.scale is not None
    low, high = found.interval
    assert np.abs((low + high) / 2 - np.abs(found.image)).max() < 1e-4 * np.abs(found.image).max()
    again = reconstruct_slice(found.acquired, options, None, None, 1, 8, found.scale)
    assert again.calls == 3 and again.scale == found.scale and np.array_equal(again.std, found.std)
    assert reconstruct_slice(found.acquired, options, None, None, 2, 8, found.scale).calls == 6
    published = run(kspace, ReconOptions(method="sense"), maps=made.maps)
    assert published.scale is None and published.calls == 0


@pytest.mark.parametrize(("mode", "draws"), [("mean", 1), ("sample", 2)])
def test_the_bar_moves_while_the_error_is_measured(mode: str, draws: int) -> None:
    """Guards the progress: never back, on through the withheld samples, whole at the end and not before."""
    made = scans.scan((64, 64), noise=0.01)
    kspace = made.kspace * scans.lines(64, 3, 16)
    options = ReconOptions.model_validate({"steps": 3, "mode": mode, "samples": draws})
    acquired = acquire(kspace, detect_mask(kspace), made.maps, receiver(None, options), options)

    def shares(part: int) -> list[float]:
        seen: list[float] = []
        found = reconstruct_slice(acquired, options, None, lambda *d: seen.append(d[0] / d[1]), part, 8, 1.0)
        assert found.scale is not None
        return seen

    checked, handed_on = shares(0), shares(1)
    for seen in (checked, handed_on):
        assert seen == sorted(seen) and seen[-1] == 1
    start = draws / (draws + 1)
    assert len([share for share in checked if start < share < 1]) > 0
    assert len([share for share in checked if share <= start]) == len(handed_on)


@pytest.mark.parametrize("step", [1, 3])
def test_an_error_that_the_scan_does_not_tell_is_said_to_be_unknown(step: int) -> None:
    """Partial Fourier, and lines over all of k-space: a warning and no calibration, or neither is amiss."""
    image, seen = HEAD_SLICE.pixels((96, 96)), sensitivities((96, 96), 2)
    whole = scans.fourier((seen * image).astype(np.complex64), (1, 2))
    lines = np.arange(96)
    keep = lines < 60 if step == 1 else (lines % step == 0) | (np.abs(lines - 48) < 8)
    found = run(whole * keep, ReconOptions(steps=3), maps=seen.astype(np.complex64))
    assert (NOT_FORETOLD in found.warnings) == (step == 1)
    assert found.notes["interval"]["calibrated"] == (step == 3)
    assert (found.scale is None) == (step == 1)
