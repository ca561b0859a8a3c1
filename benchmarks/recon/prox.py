"""Ways to the proximal point of a coil operator, measured: the numbers behind `operators.block_solve.choose`.

python benchmarks/recon/prox.py [--threads 2] [--clock wall|cpu] prints a table; nothing is read or written. Processor
time is the fairer clock on a machine that others use too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from voxprior.operators import fourier
from voxprior.operators.base import solve_normal
from voxprior.operators.block_solve import Plan, choose
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import Fourier
from voxprior.operators.masks import make_mask

SIZES = ((15, 320, 320), (8, 256, 256))
WEIGHTS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 0.0)
FALLING = np.geomspace(1e-4, 1.0, 30)


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = time.perf_counter


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """Median of some runs."""
    taken = []
    for _ in range(times):
        start = clock()
        work()
        taken.append(clock() - start)
    return statistics.median(taken)


def problem(coils: int, shape: tuple[int, int], mask: str) -> tuple[Fourier, Tensor, Tensor]:
    """Operator, data with noise, and an image that is off by as much as a denoiser's."""
    rng = np.random.default_rng(0)
    keep = torch.from_numpy(make_mask(mask, shape, 8, 24).keep)
    operator = Fourier(keep, torch.from_numpy(simulate_maps(shape, coils, rng)))
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    image = (y**2 / 0.8 + x**2 / 0.5 < 1) * (1 + 0.3 * np.sin(9 * x + 4 * y**2))
    truth = torch.from_numpy(image.astype(np.complex64))
    noise = torch.from_numpy(rng.standard_normal((2, 1, coils, *shape), dtype=np.float32))
    data = operator.apply(truth[None]) + 0.01 * torch.complex(noise[0], noise[1]) * keep
    error = torch.from_numpy(rng.standard_normal((2, 1, *shape), dtype=np.float32))
    return operator, data, truth[None] + 0.05 * torch.complex(error[0], error[1])


def by(way: str, operator: Fourier, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
    """The proximal point by one way."""
    fourier.choose = lambda *_: way  # type: ignore[assignment]
    return operator.prox(d, y, lam, warm)


def table(coils: int, shape: tuple[int, int], mask: str) -> None:
    """Print one case."""
    operator, y, d = problem(coils, shape, mask)
    print(f"\n{coils} coils, {shape[0]} x {shape[1]}, {mask}:8:24 (true acceleration {operator.acceleration:.2f})")
    a_step = seconds(lambda: operator.normal(d), 7)
    print(f"A'A {1e3 * a_step:.1f} ms, adjoint {1e3 * seconds(lambda: operator.adjoint(y)):.1f} ms")
    back = operator.adjoint(y)
    for lam in WEIGHTS:
        together = tuple(a - 2 for a in operator._changing)
        solution = solve_normal(operator.normal, back + lam * d, d, lam, tolerance=1e-6, together=together)
        took = seconds(lambda lam=lam: by("iterate", operator, d, y, lam), 1)  # type: ignore[misc]
        print(f"lam {lam:g}: {solution.iterations} iterations, {1e3 * took:.0f} ms")
    ways = ["iterate"] if len(operator._changing) > 1 else ["iterate", "cholesky", "eigen"]
    results = []
    for way in ways:
        first = seconds(lambda way=way: by(way, operator, d, y, 0.5), 1)  # type: ignore[misc]
        again = seconds(lambda way=way: by(way, operator, d, y, 0.5))  # type: ignore[misc]
        x, start = None, clock()
        for lam in FALLING[:: 1 if way != "cholesky" else 10]:
            x = by(way, operator, d, y, float(lam), x)
        many = (clock() - start) * (1 if way != "cholesky" else 10)
        results.append(x)
        print(f"{way}: first {first:.2f} s, again at the same weight {1e3 * again:.0f} ms, 30 weights {many:.1f} s")
    for way, x in zip(ways[1:], results[1:], strict=True):
        if way == "eigen":
            print(f"largest difference to iterations {float((x - results[0]).abs().max()):.1e}")
    for plan in (Plan(1), Plan(30), Plan(30, 1)):
        print(plan, {lam: choose(operator._sizes, plan, lam) for lam in WEIGHTS})
    fourier.choose = choose
    x, start = None, clock()
    fresh = operator.planned(30)
    for lam in FALLING:
        x = fresh.prox(d, y, float(lam), x)
    print(f"30 falling weights as chosen: {clock() - start:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    clock = CLOCKS[options.clock]
    torch.set_num_threads(options.threads)
    for coils, *shape in SIZES:
        for mask in ("uniform", "poisson"):
            table(coils, (shape[0], shape[1]), mask)
