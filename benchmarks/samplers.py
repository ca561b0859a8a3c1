"""Write docs/samplers.md and its figure: error of samplers and guidance against calls, where the answer is known.

The image is a stationary Gaussian volume behind thick slices, so that the posterior is a Gaussian in closed form. Mean
and covariance of a run with a linear D_y are propagated through its rows exactly; the others are measured on samples.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

matplotlib.use("Agg")
from matplotlib.figure import Figure

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.ode import flow
from voxprior.diffusion.path import VariancePreserving
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import Counted, Guided, State, as_denoiser, sample
from voxprior.diffusion.schedule import (
    Solver,
    Step,
    ddim,
    dpm_2m,
    euler,
    euler_maruyama,
    heun,
    karras,
    perturb_and_solve,
    renoise,
    reverse_sde,
    schedule,
)
from voxprior.guidance.gradient import balanced, dps, pi_gdm
from voxprior.guidance.proximal import admm, dds, projection, proximal, unguided
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.gaussian import GaussianMixture, Posterior, StationaryGaussian, power_law

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SHAPE, FACTOR, SIGMA_Y = (4, 4, 12), 3, 0.15
N = math.prod(SHAPE)
TOP, BOTTOM = 200.0, 0.005
CALLS = (10, 20, 40, 80, 160)
MANY = 1000

Matrix = NDArray[np.float64]
SOLVERS: dict[str, tuple[Solver, int, str]] = {
    # name: solver, calls a level, what it converges in
    "euler": (euler, 1, "path"),
    "heun": (heun, 2, "path"),
    "dpm++2m": (dpm_2m, 1, "path"),
    "ddim 0.5": (ddim(0.5), 1, "law"),
    "ancestral": (ddim(1.0), 1, "law"),
    "reverse-sde": (reverse_sde, 1, "law"),
    "euler-maruyama, VP": (euler_maruyama(VariancePreserving()), 1, "law"),
    "renoise (DiffPIR)": (renoise(1.0), 1, "none"),
    "perturb and solve (DAPS, 5)": (perturb_and_solve(5, BOTTOM), 5, "none"),
}

PRIOR = StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law(SHAPE, 1.0, 2.0))
OPERATOR = Separable({2: np.kron(np.eye(SHAPE[2] // FACTOR), np.full((1, FACTOR), 1 / FACTOR))}, SHAPE)


def _measurement() -> Measurement:
    rng = SeededNoise(1)
    truth = PRIOR.draw(rng(0, 0, SHAPE).double()[None])
    y = OPERATOR.apply(truth)
    return Measurement(OPERATOR, y + SIGMA_Y * rng(0, 1, tuple(y.shape[1:])).double(), SIGMA_Y)


MEASUREMENT = _measurement()
EXACT = Posterior(PRIOR, MEASUREMENT)


class Law(NamedTuple):
    """Mean (n,) and covariance (n, n)."""

    mean: Matrix
    cov: Matrix


def _dense(denoise: Denoiser, sigma: float) -> tuple[Matrix, Matrix]:
    """``D(x) = G x + h`` of a linear denoiser."""
    x = torch.cat([torch.zeros(1, N), torch.eye(N)]).double().reshape(-1, *SHAPE)
    d = denoise(x, sigma).flatten(1).numpy()
    return (d[1:] - d[0]).T, d[0]


def _truth() -> Law:
    """E[x0 | y] and Cov[x0 | y]."""
    a = OPERATOR.apply(torch.eye(N).double().reshape(-1, *SHAPE)).flatten(1).numpy().T
    c = PRIOR.filter(torch.eye(N).double().reshape(-1, *SHAPE), PRIOR.spectrum).flatten(1).numpy()
    gain = c @ a.T @ np.linalg.inv(a @ c @ a.T + SIGMA_Y**2 * np.eye(len(a)))
    return Law(gain @ MEASUREMENT.y.flatten().numpy(), c - gain @ a @ c)


TRUTH = _truth()


@cache
def _exact(sigma: float) -> tuple[Matrix, Matrix]:
    return _dense(EXACT, sigma)


class Map(NamedTuple):
    """What a run does to its start: x = through x_0 + offset, with noise of this covariance added on the way."""

    through: Matrix
    offset: Matrix
    added: Matrix


def propagate(steps: Sequence[Step], dense: Callable[[float], tuple[Matrix, Matrix]]) -> Map:
    """The rows of a run as one linear map, through the pair (x, D_previous)."""
    eye, zero = np.eye(N), np.zeros((N, N))
    through, offset, added = np.vstack([eye, zero]), np.zeros(2 * N), np.zeros((2 * N, 2 * N))
    for s in steps:
        g, h = dense(s.sigma)
        row = np.block([[s.keep * eye + s.pull * g, s.past * eye], [g, zero]])
        through, offset = row @ through, row @ offset + np.concatenate([s.pull * h, h])
        added = row @ added @ row.T
        added[:N, :N] += s.kick**2 * eye
    return Map(through[:N], offset[:N], added[:N, :N])


def _flow(sigma_0: float, sigma: float) -> Map:
    """The probability-flow ODE of the posterior, in closed form."""
    values, vectors = np.linalg.eigh(TRUTH.cov)
    gain = vectors * np.sqrt((values + sigma**2) / (values + sigma_0**2)) @ vectors.T
    return Map(gain, TRUTH.mean - gain @ TRUTH.mean, np.zeros((N, N)))


def _rows(solver: Solver, levels: int) -> tuple[Step, ...]:
    """A run down to the last level above 0: so far the law of x is known."""
    return schedule(karras(levels, TOP, BOTTOM), solver)[:-1]


def solver_errors(solver: Solver, levels: int) -> tuple[float, float]:
    """Error of the paths (a part of the posterior's std) and of the covariance, both from the exact law at the top."""
    run, exact = propagate(_rows(solver, levels), _exact), _flow(TOP, BOTTOM)
    start = TRUTH.cov + TOP**2 * np.eye(N)
    apart, shift = run.through - exact.through, (run.through - exact.through) @ TRUTH.mean + run.offset - exact.offset
    size = np.trace(TRUTH.cov)
    path = math.sqrt((np.trace(apart @ start @ apart.T) + np.trace(run.added) + shift @ shift) / size)
    cov = run.through @ start @ run.through.T + run.added
    right = TRUTH.cov + BOTTOM**2 * np.eye(N)
    return path, float(np.linalg.norm(cov - right) / np.linalg.norm(right))


def _starts(count: int) -> Tensor:
    root = np.linalg.cholesky(TRUTH.cov + TOP**2 * np.eye(N))
    z = np.stack([SeededNoise(7)(k, 0, (N,)).numpy() for k in range(count)]).astype(np.float64)
    return torch.from_numpy(TRUTH.mean + z @ root.T).reshape(-1, *SHAPE)


def adaptive_errors() -> list[tuple[float, float]]:
    """(calls, error of the paths) of the library's ODE solver at falling tolerances."""
    exact, found = _flow(TOP, BOTTOM), []
    for tolerance in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        calls, square = 0, 0.0
        for x in _starts(6)[:, None]:
            counted = Counted(unguided([EXACT]))
            *_, last = flow(as_denoiser(counted), State(x), TOP, BOTTOM, tolerance, tolerance)
            calls += counted.calls
            apart = last.x.flatten().numpy() - exact.through @ x.flatten().numpy() - exact.offset
            square += float(apart @ apart)
        found.append((calls / 6, math.sqrt(square / 6 / np.trace(TRUTH.cov))))
    return found


class Outcome(NamedTuple):
    """Of samples against the posterior: error of the mean and spread, in its std, and misfit in that of the noise."""

    mean: float
    spread: float
    misfit: float


def outcome(guided: Guided, steps: Sequence[Step], count: int = MANY) -> Outcome:
    """Measured on samples; the misfit of the data is in units of their noise."""
    rng = SeededNoise(3)
    first = State(TOP * White().noise(rng, torch.zeros(count, *SHAPE, dtype=torch.float64), Step(-1, TOP)))
    (state,) = deque(sample(guided, first, steps, White(), rng), 1)
    x = state.x.flatten(1).numpy()
    centred = x - x.mean(0)
    size = np.trace(TRUTH.cov)
    # The mean of so few samples has an error of its own, which is known and taken off.
    off = float(((x.mean(0) - TRUTH.mean) ** 2).sum()) - float((centred**2).sum()) / count**2
    rest = OPERATOR.apply(state.x) - MEASUREMENT.y
    return Outcome(
        math.sqrt(max(off, 0.0) / size),
        math.sqrt(float((centred**2).sum()) / (count - 1) / size),
        float(rest.square().mean().sqrt()) / SIGMA_Y,
    )


def guidances() -> dict[str, tuple[Guided, Solver]]:
    """Every guidance with a solver that keeps the spread."""
    one, std = [PRIOR], 1.0
    found: dict[str, tuple[Guided, Solver]] = {
        "exact D_y": (unguided([EXACT]), ddim(1.0)),
        "proximal": (proximal(one, MEASUREMENT, std), ddim(1.0)),
        "projection": (projection(one, MEASUREMENT), ddim(1.0)),
        "dds, lam = .1": (dds(one, MEASUREMENT, 0.1), ddim(1.0)),
        "dual (admm), dpm++2m": (admm(one, MEASUREMENT), dpm_2m),
        "Pi-GDM": (pi_gdm(one, MEASUREMENT, std), ddim(1.0)),
    }
    for w in (0.03, 0.1, 0.3, 1.0):
        found[f"DPS, w = {w:g}"] = (dps(one, MEASUREMENT, w * math.sqrt(FACTOR)), ddim(1.0))
    for w in (0.3, 1.0, 2.5):
        found[f"balanced, w = {w:g}"] = (balanced(one, MEASUREMENT, w, norm=FACTOR**-0.5), ddim(1.0))
    return found


def mixture() -> dict[str, tuple[float, float]]:
    """Share of the rarer of two modes (.3) and spread within it (1 is right) by sampler, at 80 calls."""
    shape = (3, 3, 4)
    modes = [
        StationaryGaussian(torch.full((), m, dtype=torch.float64), power_law(shape, 0.5, p))
        for m, p in ((1.5, 1.0), (-1.5, 2.0))
    ]
    prior, found = GaussianMixture(tuple(modes), (0.3, 0.7)), {}
    for name, (solver, cost, _) in SOLVERS.items():
        rng = SeededNoise(4)
        first = State(TOP * White().noise(rng, torch.zeros(MANY, *shape, dtype=torch.float64), Step(-1, TOP)))
        steps = schedule(karras(80 // cost, TOP, 0.01), solver)
        (state,) = deque(sample(unguided([prior]), first, steps, White(), rng), 1)
        x = state.x.flatten(1)
        rare = x[x.mean(1) > 0]
        found[name] = len(rare) / MANY, float((rare - rare.mean(0)).square().mean().sqrt() / 0.5)
    return found


def main() -> None:
    """Measure, draw, and write the page's measured part."""
    errors = {
        name: [solver_errors(solver, n // cost) for n in CALLS] for name, (solver, cost, _) in SOLVERS.items()
    }
    free = adaptive_errors()
    _draw(errors, free)
    lines = [_solver_table(errors, free), _guidance_table(), _mixture_table()]
    page = DOCS / "samplers.md"
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    page.write_text(f"{head}{BEGIN}\n\n" + "\n".join(lines) + f"\n{END}{tail}", encoding="utf-8")


def _order(found: Sequence[float]) -> float:
    half = len(CALLS) // 2
    return -float(np.polyfit(np.log(CALLS[half:]), np.log(found[half:]), 1)[0])


def _solver_table(errors: dict[str, list[tuple[float, float]]], free: list[tuple[float, float]]) -> str:
    titles = " | ".join(f"{n} calls" for n in CALLS)
    rows = [f"| solver | {titles} | order |", "| --- |" + " --- |" * (len(CALLS) + 1)]
    for name, found in errors.items():
        kind = SOLVERS[name][2]
        values = [path if kind == "path" else cov for path, cov in found]
        order = "-" if kind == "none" else f"{_order(values):.2f}"
        rows.append(f"| {name} | " + " | ".join(f"{v:.2g}" for v in values) + f" | {order} |")
    tried = " | ".join(f"{calls:.0f} calls" for calls, _ in free)
    cells = " | ".join(f"{error:.2g}" for _, error in free)
    below = [f"| adaptive (`flow`) | {tried} |", "| --- |" + " --- |" * len(free), f"| error of the paths | {cells} |"]
    return "\n".join(rows) + "\n\n" + "\n".join(below) + "\n"


def _guidance_table() -> str:
    titles = "mean, 40 calls | spread | misfit | mean, 160 calls | spread | misfit"
    rows = [f"| guidance | {titles} |", "| --- |" + " --- |" * 6]
    for name, (guided, solver) in guidances().items():
        parts = [outcome(guided, schedule(karras(n, TOP, BOTTOM), solver)) for n in (40, 160)]
        cells = " | ".join(f"{o.mean:.3f} | {o.spread:.2f} | {o.misfit:.2f}" for o in parts)
        rows.append(f"| {name} | {cells} |")
    weight = dps([PRIOR], MEASUREMENT, 0.3 * math.sqrt(FACTOR))
    parts = [outcome(weight, schedule(karras(n // 2, TOP, BOTTOM), reverse_sde, snr=0.16)) for n in (40, 160)]
    cells = " | ".join(f"{o.mean:.3f} | {o.spread:.2f} | {o.misfit:.2f}" for o in parts)
    rows.append(f"| DPS, w = 0.3, predictor and corrector | {cells} |")
    return "\n".join(rows) + "\n"


def _mixture_table() -> str:
    rows = ["| solver, 80 calls | share of the rarer mode (.30) | spread within it |", "| --- | --- | --- |"]
    rows += [f"| {name} | {share:.2f} | {spread:.2f} |" for name, (share, spread) in mixture().items()]
    return "\n".join(rows) + "\n"


def _draw(errors: dict[str, list[tuple[float, float]]], free: list[tuple[float, float]]) -> None:
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, found in errors.items():
        kind = SOLVERS[name][2]
        if kind == "path":
            left.loglog(CALLS, [path for path, _ in found], marker=".", label=name)
        right.loglog(CALLS, [cov for _, cov in found], marker=".", label=name)
    left.loglog(*zip(*free, strict=True), marker=".", label="adaptive (RK45)")
    left.set(xlabel="calls of the denoiser", ylabel="error of a path / std of the posterior")
    right.set(xlabel="calls of the denoiser", ylabel="error of the covariance, relative")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=7)
    (DOCS / "assets").mkdir(exist_ok=True)
    figure.savefig(DOCS / "assets" / "samplers.png", dpi=110)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
