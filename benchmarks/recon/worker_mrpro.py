"""mrpro's primal-dual solver with an L1 norm of wavelets. Runs in an environment that has mrpro and no Voxprior.

Lines of standard input: {"input": NPZ of y (coil, y, x), maps and mask, "output": NPY, "weight": number}. A line of
standard output for each: {"seconds": number}. The first line written names the version.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import torch
from mrpro.algorithms.optimizers import pdhg
from mrpro.operators import (
    EinsumOp,
    FastFourierOp,
    LinearOperatorMatrix,
    ProximableFunctionalSeparableSum,
    WaveletOp,
    ZeroPadOp,
)
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared

ITERATIONS = 100


def reconstruct(y: torch.Tensor, maps: torch.Tensor, mask: torch.Tensor, weight: float) -> torch.Tensor:
    sensitivities = EinsumOp(maps, "coil y x, y x -> coil y x")
    sampling = EinsumOp(mask.to(torch.complex64), "y x, coil y x -> coil y x")
    acquisition = sampling @ FastFourierOp(dim=(-2, -1)) @ sensitivities
    even = tuple(n + n % 2 for n in mask.shape)  # its wavelets take even sizes alone
    padding = ZeroPadOp(dim=(-2, -1), original_shape=mask.shape, padded_shape=even)
    wavelets = WaveletOp(domain_shape=even, dim=(-2, -1), wavelet_name="db4", level=4) @ padding
    operator = LinearOperatorMatrix(((acquisition,), (wavelets,)))
    fit, sparse = L2NormSquared(target=y, divide_by_n=False), L1NormViewAsReal(divide_by_n=False)
    parts = ProximableFunctionalSeparableSum(0.5 * fit, weight * sparse)
    (start,) = acquisition.H(y)
    (x,) = pdhg(f=parts, g=None, operator=operator, initial_values=(start,), max_iterations=ITERATIONS)
    return x


def main() -> None:
    print(json.dumps({"version": version("mrpro")}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        with np.load(asked["input"]) as arrays:
            y, maps, mask = (torch.from_numpy(arrays[name]) for name in ("y", "maps", "mask"))
        start = time.perf_counter()
        with torch.no_grad():
            x = reconstruct(y, maps, mask, asked["weight"])
        seconds = time.perf_counter() - start
        np.save(asked["output"], x.numpy())
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
