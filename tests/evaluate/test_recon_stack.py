"""Stacks of one coil: the same slices for all, as a whole for what looks across them, one by one for the others."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from evaluate.recon_data import Drawn, Plain
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.recon import protocols
from voxprior.evaluate.recon.contenders import TOLD_REAL, TPDM, TPDM_REAL, recon_contenders, recon_method, runs_on
from voxprior.evaluate.recon.measure import measure, score
from voxprior.evaluate.recon.protocols import STACK, TUNE_SLICES, Case, recon_cases, tune_cases
from voxprior.evaluate.recon.run import evaluate_recon
from voxprior.evaluate.recon.stack import ToldReal, pose, stack
from voxprior.methods.result import Result
from voxprior.operators.base import Compose
from voxprior.operators.fourier import RealImage

SLICES = 4


@pytest.fixture
def case(recon_data, monkeypatch):
    """A stack at R = 8 in one of the small heads, which have five slices."""
    monkeypatch.setattr(protocols, "STACK_SLICES", SLICES)
    return next(c for c in recon_cases(recon_data) if c.group == STACK and c.acceleration == 8)


class Whole(Plain):
    """Zero-filling of all slices at once."""

    whole_stacks = True

    def __call__(self, measurement, options, rng, progress=None):
        assert measurement.y.shape[1] == SLICES and measurement.affine is not None
        return Result(measurement.operator.adjoint(measurement.y)[0], calls=9)


def test_single_slices_keep_the_keys_that_they_had(recon_data):
    """A new field in every case would make hours of results anew."""
    for case in recon_cases(recon_data):
        assert ("slices" in case.to_dict()) == (case.slices > 1)
    old = Case("s", "f", "0", "g", "slice", "uniform", 8, 24)
    assert old.to_dict() == {name: value for name, value in asdict(old).items() if name != "slices"}


def test_a_stack_is_the_fourier_transform_of_the_volume_s_slices(recon_data, case):
    """Data of the whole stack and of its parts are the same samples, and the truth explains them."""
    problem = stack(recon_data, case)
    assert problem.truth.shape == (SLICES, 100, 104) and problem.object.any()
    whole = problem.measurement()
    truth = torch.from_numpy(problem.truth).to(torch.complex64)
    assert torch.allclose(whole.operator.apply(truth[None]), whole.y, atol=1e-2)
    for number, part in enumerate(problem.parts):
        assert torch.equal(part.measurement().y[0, 0], whole.y[0, number])
    assert score(truth, problem)["nmse"] < 1e-12
    assert problem.mask.acceleration == pytest.approx(8, rel=0.01) and problem.noise == 0.0


def test_slices_one_by_one_and_as_a_whole_have_the_same_figures(recon_data, case):
    """Zero-filling knows nothing of its neighbours."""
    problem = pose(recon_data, case)
    methods = {"plain": Plain(), "whole": Whole()}
    found = [measure(case, Contender(n, n), problem, methods.__getitem__)["figures"] for n in methods]
    for name in ("psnr", "psnr_object", "ssim", "nmse", "residual"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-4)
    assert found[1]["network_calls"] == 9 and found[0]["source"] is not None


def test_samples_of_a_stack_are_joined_slice_by_slice(recon_data, case):
    """The spread is that of every slice, and slices have noise of their own."""
    drawn = Drawn()
    contender = Contender("d", "drawn", {"samples": 2})
    figures = measure(case, contender, pose(recon_data, case), lambda name: drawn)["figures"]
    assert figures["samples"] == 2 and len(drawn.operators) == SLICES and figures["network_calls"] == 2
    assert figures["calibration"]["ratio"] > 0


def test_told_that_the_image_is_real(recon_data, case):
    """TPDM as published restores real images: the method is given the real part of the image space alone."""

    class Real(Whole):
        def __call__(self, measurement, options, rng, progress=None):
            assert isinstance(measurement.operator, Compose)
            assert isinstance(measurement.operator.inner, RealImage)
            return Result(measurement.operator.adjoint(measurement.y)[0])

    problem = pose(recon_data, case)
    record = measure(case, Contender("r", "real"), problem, lambda name: ToldReal(Real()))
    plain = measure(case, Contender("p", "plain"), problem, lambda name: Plain())
    assert record["figures"]["psnr"] >= plain["figures"]["psnr"] - 1e-6  # the truth is real
    assert isinstance(recon_method(TOLD_REAL), ToldReal)


def test_the_page_has_stacks_with_gains_over_tv(recon_data, case, tmp_path):
    """The heading says what is special of them, and TPDM is asked on them alone."""
    from voxprior.evaluate.recon.tables import TV_PEER

    chosen = [Contender(TV_PEER, "plain"), Contender(TPDM, "whole")]
    methods = {"plain": Plain(), "whole": Whole()}
    where = recon_data, tmp_path / "out", tmp_path / "page.md"
    made = evaluate_recon(*where, [case.name], chosen, methods.__getitem__, lambda line: None)
    assert len(made) == 2
    text = (tmp_path / "page.md").read_text()
    assert "### One coil, no noise, stack of slices, 1 subjects, 4 slices of each: Poisson discs, R = 8" in text
    assert f"| {TPDM} | -0.00" in text or f"| {TPDM} | +0.00" in text
    members = [c for c in recon_contenders() if c.label in (TPDM, TPDM_REAL)]
    single = next(c for c in recon_cases(recon_data) if c.slices == 1)
    assert all(runs_on(c, case) and not runs_on(c, single) for c in members) and len(members) == 2


def test_weights_of_other_tools_are_chosen_on_stacks_of_tune_subjects(recon_data):
    """Data without noise want another weight than data with it."""
    stacks = [c for c in tune_cases(recon_data) if c.slices > 1]
    assert {c.acceleration for c in stacks} == {8, 24} and {c.slices for c in stacks} == {TUNE_SLICES}
    assert {c.subject for c in stacks}.isdisjoint({c.subject for c in recon_cases(recon_data)})
    assert np.prod(stack(recon_data, stacks[0]).truth.shape) == TUNE_SLICES * 100 * 104
