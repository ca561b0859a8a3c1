"""deepinv's FISTA with total variation. Runs in an environment that has deepinv and no Voxprior.

Lines of standard input: {"input": NPZ of y (coil, y, x), maps and mask, "output": NPY, "weight": number}. A line of
standard output for each: {"seconds": number}. The first line written names the version.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import deepinv
import numpy as np
import torch

ITERATIONS = 100


def reconstruct(y: torch.Tensor, maps: torch.Tensor, mask: torch.Tensor, weight: float) -> torch.Tensor:
    shape = (2, *mask.shape)
    physics = deepinv.physics.MultiCoilMRI(mask=mask.float()[None, None], coil_maps=maps[None], img_size=shape)
    data = torch.stack([y.real, y.imag])[None]  # (1, 2, coil, y, x)
    solver = deepinv.optim.FISTA(
        data_fidelity=deepinv.optim.L2(),
        prior=deepinv.optim.TVPrior(n_it_max=20),
        stepsize=1.0,
        lambda_reg=weight,
        max_iter=ITERATIONS,
        verbose=False,
    )
    x = solver(data, physics)[0]
    return torch.complex(x[0], x[1])


def main() -> None:
    print(json.dumps({"version": version("deepinv")}), flush=True)
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
