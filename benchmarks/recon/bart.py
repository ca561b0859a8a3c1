"""BART's `pics`: compressed sensing with the same k-space, the same maps and the same mask."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from voxprior.evaluate.recon.acquire import Problem

ITERATIONS = 100
TERMS = {"L1-wavelet": "W:3:0:{weight}", "TV": "T:3:0:{weight}"}
"""Regularisation over the two image axes, with a weight on the scale to which pics brings the data."""
WEIGHTS = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
STRONG = (4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2)
"""Where a twenty-fourth of the samples is there: more has to come from the regularisation."""


def version() -> str:
    return subprocess.run(["bart", "version"], check=True, capture_output=True, text=True).stdout.strip()


def reconstruct(problem: Problem, term: str, weight: float) -> tuple[np.ndarray, float]:
    """Image (y, x) on the scale of the data, and seconds of the whole command on one thread a core that we may use."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shift = one_sample(problem.y.shape[1:])
        write_cfl(folder / "y", problem.y * shift)
        write_cfl(folder / "maps", problem.maps)
        write_cfl(folder / "mask", problem.mask.keep[None].astype(np.complex64))
        regularisation = TERMS[term].format(weight=weight)
        command = ["bart", "pics", "-d0", "-S", "-e", f"-i{ITERATIONS}", "-R", regularisation]
        start = time.perf_counter()
        subprocess.run([*command, "-p", "mask", "y", "maps", "x"], check=True, cwd=folder, env=dict(os.environ))
        seconds = time.perf_counter() - start
        return read_cfl(folder / "x")[0], seconds


def one_sample(shape: tuple[int, int]) -> np.ndarray:
    """A phase for k-space with which pics 0.8.00 finds the image of the maps: not one beside them, nor its negative.

    It centres its transform by the phases of c = n // 2 without their conjugates, which is a factor exp(2 pi i c^2 / n)
    and, for odd n, a shift by one sample; found by reconstructing fully sampled data.
    """
    middles = [(n, n // 2, n % 2) for n in shape]
    rows, columns = (np.exp(2j * np.pi * (odd * (np.arange(n) - c) - c**2) / n) for n, c, odd in middles)
    return np.outer(rows, columns).astype(np.complex64)


def write_cfl(path: Path, coils: np.ndarray) -> None:
    """(coil, y, x) as BART's dimensions y, x, 1, coil, the first the quickest."""
    count, rows, columns = coils.shape
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{rows} {columns} 1 {count} {' '.join('1' * 12)}\n")
    np.asfortranarray(coils.transpose(1, 2, 0)).astype(np.complex64).ravel(order="F").tofile(path.with_suffix(".cfl"))


def read_cfl(path: Path) -> np.ndarray:
    """The first four dimensions as (coil, y, x)."""
    sizes = [int(n) for n in path.with_suffix(".hdr").read_text().splitlines()[1].split()][:4]
    flat = np.fromfile(path.with_suffix(".cfl"), np.complex64)
    return flat.reshape(sizes, order="F")[:, :, 0].transpose(2, 0, 1)
