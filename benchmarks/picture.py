"""Write docs/assets/before-after.png: the head of the package, thickened five times front to back, and restored."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import matplotlib
import nibabel
import numpy as np
import torch

matplotlib.use("Agg")
from matplotlib.figure import Figure

from voxprior.diffusion.noise import SeededNoise
from voxprior.methods.voxprior import Options, voxprior
from voxprior.operators.base import Measurement
from voxprior.operators.profiles import interpolation_matrix
from voxprior.operators.separable import Separable, along
from voxprior.volume import SliceGeometry

FACTOR = 5


def main() -> None:
    """Restore, and show one axial and one sagittal slice."""
    image = nibabel.load(str(files("voxprior.demo") / "head.nii.gz"))
    truth = torch.from_numpy(image.get_fdata(dtype=np.float32))[None]
    step, n = float(np.linalg.norm(image.affine[:3, 1])), truth.shape[2] // FACTOR * FACTOR
    truth = truth[:, :, :n]
    g = SliceGeometry(1, n // FACTOR, FACTOR * step, FACTOR * step, n, step)
    operator = Separable({1: g.matrix()}, tuple(truth.shape[1:]), g)
    y = operator.apply(truth)
    restored = voxprior(Measurement(operator, y, None, image.affine), Options(), SeededNoise(0)).mean
    shown = {
        f"measured: {FACTOR * step:.1f} mm slices": along(y, interpolation_matrix(g, 0), 1)[0],
        "cubic": along(y, interpolation_matrix(g, 3), 1)[0],
        "Voxprior": restored,
        f"truth: {step:.2f} mm": truth[0],
    }
    top = float(np.percentile(truth, 99.8))
    figure = Figure(figsize=(11, 6.4), layout="constrained", facecolor="black")
    grid = figure.subplots(2, len(shown), height_ratios=[n * step, truth.shape[3]])
    for column, (name, volume) in enumerate(shown.items()):
        axial, sagittal = volume[:, :, 58].flip(0).T, volume[40].T
        for row, (picture, aspect) in enumerate(((axial, 1.0), (sagittal, 1 / step))):
            axes = grid[row, column]
            axes.imshow(picture, cmap="gray", vmin=0, vmax=top, origin="lower", aspect=aspect)
            axes.set_axis_off()
        grid[0, column].set_title(name, color="white", fontsize=11)
    target = Path(__file__).parent.parent / "docs" / "assets" / "before-after.png"
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=90)


if __name__ == "__main__":
    main()
