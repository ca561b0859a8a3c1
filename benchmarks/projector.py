"""Time our projector against what TPDM does and against ASTRA: python benchmarks/projector.py [SIZE VIEWS SLICES].

TPDM turns the image by grid_sample and sums its columns, a view at a time; its back-projection here is the transpose of
that by autograd. ASTRA (CPU, strips, slice by slice) runs where .venv-astra is, see .ci/run. Medians of three, all in
one run; writes docs/projector.md. The first product of a geometry builds or reads the matrix and is timed by itself.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from voxprior.operators.projection_cache import matrix
from voxprior.operators.projection_matrix import ProjectionGeometry, build_matrix
from voxprior.operators.tomography import Tomography

ROOT = Path(__file__).parents[1]
ASTRA = ROOT / ".venv-astra" / "bin" / "python"


def seconds(run: Callable[[], object]) -> float:
    """Median of three, after one that does not count."""
    run()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return median(times)


def rotated(x: torch.Tensor, angles: np.ndarray, bins: int) -> torch.Tensor:
    """Views (slice, view, bin) of slices x (slice, row, column) by bilinear rotation and sums of columns."""
    before = (bins - x.shape[1]) // 2
    after = bins - x.shape[1] - before
    padded = torch.nn.functional.pad(x[:, None], (before, after, before, after))
    views = []
    for angle in angles:
        cos, sin = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]]).expand(len(x), 2, 3)
        grid = torch.nn.functional.affine_grid(turn, list(padded.shape), align_corners=True)
        turned = torch.nn.functional.grid_sample(padded, grid, mode="bilinear", align_corners=True)
        views.append(turned[:, 0].sum(1))
    return torch.stack(views, 1)


def rotation(x: torch.Tensor, y: torch.Tensor, angles: np.ndarray) -> tuple[float, float]:
    """Seconds a slice of the views and of their transpose."""
    forward = seconds(lambda: rotated(x, angles, y.shape[-1]))
    leaf = x.clone().requires_grad_()
    both = seconds(lambda: torch.autograd.grad(rotated(leaf, angles, y.shape[-1]), leaf, y))
    return forward / len(x), (both - forward) / len(x)


def astra(image: np.ndarray, sinogram: np.ndarray, angles: np.ndarray) -> tuple[float, float] | None:
    """Seconds of a slice forward and back, or None where ASTRA is not installed."""
    if not ASTRA.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, image=image, sinogram=sinogram, angles=angles, pixel=1.0, width=1.0)
        subprocess.run([ASTRA, ROOT / "benchmarks" / "projector_astra.py", given, made], check=True)
        with np.load(made) as values:
            forward, back = np.median(values["seconds"], axis=1)
    return float(forward), float(back)


def main() -> None:
    """Measure and write the page."""
    size, views, slices = (int(word) for word in sys.argv[1:4]) if len(sys.argv) > 1 else (256, 36, 32)
    bins = math.ceil(math.sqrt(2) * size) + 3
    angles = np.arange(views) * 180.0 / views
    g = ProjectionGeometry((size, size), (1.0, 1.0), tuple(angles), bins, 1.0)
    begin = time.perf_counter()
    entries = build_matrix(g).nnz
    building = time.perf_counter() - begin
    matrix(g)
    begin = time.perf_counter()
    matrix(g)
    reading = time.perf_counter() - begin

    torch.manual_seed(0)
    x, y = torch.rand(1, slices, size, size), torch.rand(1, slices, views, bins)
    operator, single = Tomography(g, (slices, size, size)), Tomography(g)
    rows = [
        (
            f"ours, {slices} slices at once",
            seconds(lambda: operator.apply(x)) / slices,
            seconds(lambda: operator.adjoint(y)) / slices,
        ),
        ("ours, one slice", seconds(lambda: single.apply(x[:, 0])), seconds(lambda: single.adjoint(y[:, 0]))),
    ]
    few = min(slices, 4)
    rows.append(("grid_sample rotation", *rotation(x[0, :few], y[0, :few], np.radians(angles))))
    other = astra(x[0, 0].numpy(), y[0, 0].numpy(), np.radians(angles))
    if other is not None:
        rows.append(("ASTRA 2.5.0, CPU, strips", *other))
    _write(rows, f"{views} views of {bins} bins of {size} x {size} pixels", entries, building, reading)


def _write(rows: list[tuple[str, float, float]], what: str, entries: int, building: float, reading: float) -> None:
    _, forward, back = rows[0]
    lines = [
        f"| {name} | {1e3 * f:.2f} | {1e3 * b:.2f} | {f / forward:.1f} | {b / back:.1f} |" for name, f, b in rows
    ]
    table = "\n".join(lines)
    page = f"""# How quick the projector is

Written by `python benchmarks/projector.py`: {what}; threads: {torch.get_num_threads()}; medians of three in one run.
The matrix of {entries / 1e6:.1f} million entries takes {building:.2f} s to build, once, and {reading:.2f} s to read
from the disk after that. Milliseconds a slice, and as multiples of the first row:

| | forward, ms | back, ms | forward | back |
| --- | --- | --- | --- | --- |
{table}
"""
    (ROOT / "docs" / "projector.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
