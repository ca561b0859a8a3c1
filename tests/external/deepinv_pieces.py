"""What deepinv makes of Voxprior's pieces, in an environment of its own: its physics checked, its DPIR with our prior.

    python tests/external/deepinv_pieces.py OUT.json

Run by test_deepinv.py. The volume is the head that comes with the package, blurred by 5 voxels each way.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # deepinv imports torchvision, which is built for CUDA: beside the CPU build of torch its library does not load, and
    # these two words are missing. Nothing here calls them.
    words = torch.library.Library("torchvision", "FRAGMENT")
    for word in ("nms", "qnms"):
        words.define(f"{word}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import deepinv

from voxprior.operators.check import check
from voxprior.operators.deepinv import DeepinvOperator
from voxprior.priors.deepinv import deepinv_slices
from voxprior.priors.intensity import intensity_scale

HEAD = Path(__file__).parents[2] / "src" / "voxprior" / "demo" / "head.nii.gz"
REGION = (slice(36, 60), slice(72, 112), slice(30, 70))
SIGMA = 0.02
SIZE = (12, 14)


def physics() -> dict[str, tuple[deepinv.physics.LinearPhysics, tuple[int, ...], torch.dtype]]:
    """By name: a physics, the space of its images, and their kind."""
    source = torch.Generator().manual_seed(0)
    kernel = torch.rand(1, 1, 5, 5, generator=source)
    kernel /= kernel.sum()
    mask = (torch.rand(SIZE, generator=source) < 0.4).float()
    p, real = deepinv.physics, torch.float32
    return {
        "blur": (p.Blur(filter=kernel, padding="valid"), SIZE, real),
        "blur of volumes": (p.Blur(filter=torch.ones(1, 1, 3, 3, 3) / 27, padding="circular"), (6, 7, 8), real),
        "decimation": (p.Downsampling(img_size=(1, *SIZE), factor=2, filter="gaussian"), SIZE, real),
        "inpainting": (p.Inpainting(img_size=(1, *SIZE), mask=mask[None]), SIZE, real),
        "tomography": (p.Tomography(angles=20, img_width=16), (16, 16), real),
        "MRI": (p.MRI(mask=mask, img_size=(2, *SIZE)), SIZE, torch.complex64),
    }


def checked() -> dict[str, str]:
    """What :func:`voxprior.check` says of each physics."""
    found = {}
    for name, (one, size, dtype) in physics().items():
        try:
            check(DeepinvOperator(one), size, dtype)
            found[name] = "passes"
        except AssertionError as error:
            found[name] = str(error)
    return found


def restored() -> dict[str, float]:
    """PSNR of a blurred head: as measured, by the best of five Tikhonov weights, and by DPIR with head-slices."""
    image = nibabel.load(HEAD)
    whole = np.asarray(image.dataobj, dtype=np.float32)
    x = torch.from_numpy(whole[REGION] / np.float32(intensity_scale(whole)))[None, None]
    blur = deepinv.physics.Blur(filter=torch.ones(1, 1, 5, 5, 5) / 125, padding="circular")
    y = blur.A(x)
    y = y + SIGMA * torch.randn(y.shape, generator=torch.Generator().manual_seed(5))

    def psnr(other: torch.Tensor) -> float:
        return float(10 * torch.log10(x.max() ** 2 / (x - other).square().mean()))

    denoise = deepinv_slices("head-slices", 2, image.affine)
    with torch.no_grad():
        plain = [psnr(blur.prox_l2(torch.zeros_like(x), y, gamma)) for gamma in (3.0, 10.0, 30.0, 100.0, 300.0)]
        dpir = deepinv.optim.DPIR(sigma=SIGMA, denoiser=denoise)(y, blur)
    return {"measured": psnr(y), "tikhonov": max(plain), "dpir": psnr(dpir)}


def served() -> dict[str, float | bool]:
    """What the denoiser is to deepinv: its class, a noise level a sample, and a gradient."""
    denoise = deepinv_slices("head-slices", 2)
    source = torch.Generator().manual_seed(1)
    x = torch.rand(2, 1, 4, 10, 9, generator=source)
    levels = torch.tensor([0.1, 0.4])
    both = denoise(x, levels)
    each = torch.cat([denoise(x[i : i + 1], float(level)) for i, level in enumerate(levels)])
    leaf = x.clone().requires_grad_()
    denoise(leaf, 0.2).square().sum().backward()
    return {
        "is a Denoiser": isinstance(denoise, deepinv.models.Denoiser),
        "levels": float((both - each).abs().max()),
        "gradient": float(leaf.grad.abs().max()),
    }


def main() -> None:
    """Write what was found."""
    found = {"physics": checked(), "denoiser": served(), "psnr": restored()}
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
