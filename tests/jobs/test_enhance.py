"""Coarse voxels to fine ones, in memory: place, fit, maps, stages, and the library's door."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import voxprior
from voxprior.errors import InputError
from voxprior.jobs.enhance import Enhanced, composed, enhance_volume
from voxprior.jobs.enhance_simulate import simulate
from voxprior.jobs.options import EnhanceOptions
from voxprior.jobs.stages import Stage, stages_of
from voxprior.volume import Volume


def _fine(head, spacing: float = 2.0) -> Volume:
    x = [(np.arange(n) - (n - 1) / 2) * spacing for n in (20, 22, 18)]
    data = head.at(x[0][:, None, None], x[1][None, :, None], x[2][None, None, :])
    data = data + np.random.default_rng(0).normal(5, 0.5, data.shape)  # without noise it would look like a label map
    return Volume(data.astype(np.float32), np.diag([-spacing, spacing, spacing, 1.0]))


def _stage(**options) -> Stage:
    return Stage("one", EnhanceOptions(**{"method": "cubic-projected", **options}))


def _run(fine: Volume, *stages: Stage, seed: int = 0) -> tuple[Enhanced, Volume, Volume]:
    """Result, truth and measurement."""
    made = simulate(fine, stages, seed)
    return enhance_volume(made.measurement, made.stages), made.truth, made.measurement


@pytest.mark.parametrize("degradation", ["box", "kspace"])
@pytest.mark.parametrize(("axes", "factor"), [("auto", 2.0), ("ik", 1.5), ("ijk", 2.0), ("j", 3.0)])
def test_it_comes_back_to_the_truths_grid_and_explains_the_data(head, degradation, axes, factor) -> None:
    """Shape, place and fit; nearer to the truth than the coarse voxels repeated."""
    found, truth, _ = _run(_fine(head), _stage(axes=axes, factor=factor, degradation=degradation))
    assert found.image.data.shape == truth.data.shape
    np.testing.assert_allclose(found.image.affine, truth.affine, atol=1e-9)
    assert found.linear and found.stages[0].residual < 1e-5
    repeated, _, _ = _run(_fine(head), _stage(axes=axes, factor=factor, degradation=degradation, method="nearest"))

    def error(image: Volume) -> float:
        return float(np.linalg.norm(image.data - truth.data))

    assert error(found.image) < error(repeated.image)


def test_what_is_invented_is_what_the_voxels_do_not_show(head) -> None:
    """Decimated it is nothing, and the image without it has the same voxels."""
    found, _, measured = _run(_fine(head), _stage(axes="ij"))
    operator = composed(found.axes, measured.data.shape)
    invented = torch.from_numpy(found.invented.data.copy()).double()[None]
    assert float(invented.abs().max()) > 1
    assert float(operator.apply(invented).abs().max()) < 1e-3
    rest = operator.apply(torch.from_numpy(found.image.data - found.invented.data)[None])[0].numpy()
    np.testing.assert_allclose(rest, measured.data, atol=1e-3)


def test_a_cascade_feeds_each_stage_with_what_the_one_before_made(head) -> None:
    """Two stages by hand give the same voxels; the operators multiply, and the whole explains the input."""
    first, second = _stage(axes="ij", factor=1.5), _stage(axes="ik", factor=2.0, degradation="kspace")
    both, truth, measured = _run(_fine(head), first, second)
    middle = enhance_volume(measured, [first]).image
    alone = enhance_volume(middle, [second]).image
    np.testing.assert_array_equal(both.image.data, alone.data)
    np.testing.assert_allclose(both.image.affine, truth.affine, atol=1e-9)
    assert [stage.name for stage in both.stages] == ["one", "one"] and len(both.axes) == 4
    operator = composed(both.axes, measured.data.shape)
    assert operator.shape == truth.data.shape
    back = operator.apply(torch.from_numpy(both.image.data.copy())[None])[0].numpy()
    assert np.linalg.norm(back - measured.data) < 1e-5 * np.linalg.norm(measured.data)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_field_change_has_no_operator_and_no_projection(head, factor) -> None:
    """Another contrast must stay in the result's way: nothing is projected, and what is invented is all that is new."""
    found, _, measured = _run(_fine(head), _stage(method="cubic", axes="ij", factor=factor, degradation="1.5t"))
    assert not found.linear and found.stages[0].residual is None
    plain = enhance_volume(measured, [_stage(method="cubic", axes="ij", factor=factor)]) if factor > 1 else None
    if plain is not None:
        np.testing.assert_array_equal(found.image.data, plain.image.data)
    else:
        np.testing.assert_allclose(found.image.data, measured.data, atol=1e-4)
        np.testing.assert_allclose(found.invented.data, 0, atol=1e-3)


def test_a_simulated_field_is_seeded_and_differs_from_a_box(head) -> None:
    """The same seed measures the same scan, another one another; brightness is that of the truth's scale."""
    fine, stage = _fine(head), _stage(method="cubic", axes="ij", degradation="1.5t")
    first, again, other = (simulate(fine, [stage], seed).measurement.data for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    box = simulate(fine, [_stage(axes="ij")]).measurement.data
    assert 0.02 < np.linalg.norm(first - box) / np.linalg.norm(box) < 0.5


@pytest.mark.parametrize("degradation", ["box", "1.5t"])
def test_strength_leads_from_cubic_to_the_method(head, degradation) -> None:
    """At 0 it is cubic interpolation, projected where the operator is linear; half way is half way."""
    measured = simulate(_fine(head), [_stage(axes="ij")]).measurement

    def image(strength: float, method: str) -> np.ndarray:
        options = {"axes": "ij", "degradation": degradation, "method": method}
        return enhance_volume(measured, [_stage(strength=strength, **options)]).image.data

    start = image(1.0, "cubic-projected" if degradation == "box" else "cubic")
    np.testing.assert_allclose(image(0.0, "nearest"), start, atol=1e-3)
    np.testing.assert_allclose(image(0.5, "nearest"), (start + image(1.0, "nearest")) / 2, atol=1e-3)


def test_the_library_restores_arrays(head) -> None:
    """The same words as the command's; a tensor comes back as one, and a mistake is one line."""
    measured = simulate(_fine(head), [_stage(axes="ij")]).measurement
    array = torch.from_numpy(measured.data.copy())
    found = voxprior.restore(array, "enhance", affine=measured.affine, method="cubic-projected", axes="ij")
    assert isinstance(found.image, torch.Tensor) and found.image.shape == (20, 22, 18)
    assert found.sidecar["residual"] < 1e-5 and found.sidecar["job"] == "enhance"
    assert [g["axis"] for g in found.sidecar["certificate"]["operator"]["axes"]] == [0, 1]
    assert found.picture().startswith(b"\x89PNG") and "job=enhance" in repr(found)
    field = voxprior.restore(array, "enhance", affine=measured.affine, method="cubic", degradation="1.5t")
    assert field.sidecar["certificate"] is None and "contrast" in field.sidecar["certificate_reason"]
    with pytest.raises(InputError, match="option factor"):
        voxprior.restore(array, "enhance", affine=measured.affine, factor=0)


def test_options_that_contradict_each_other_are_refused() -> None:
    """What cannot be done is told before anything is read."""
    for options, message in (
        ({"factor": 1.0}, "--factor 1 leaves nothing"),
        ({"degradation": "1.5t", "method": "cubic-projected"}, "needs a linear degradation"),
        ({"axes": "il"}, "--axes il is unknown"),
        ({"axes": "ii"}, "names an axis twice"),
        ({"method": "cubic", "mode": "mean"}, "--mode belongs to"),
        ({"method": "tpdm"}, "--method tpdm is unknown"),
    ):
        with pytest.raises(InputError, match=message):
            stages_of(EnhanceOptions(**{"method": "cubic", **options}), None)
