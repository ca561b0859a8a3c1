"""The other contender for the mean estimator: a 3-D network on the thick-slice grid.

    python benchmarks/bakeoff/coarse.py --data DIR --output runs/coarse --minutes 60

The trunk works on the slices as they are (in-plane space-to-depth) and gives every thick voxel some features; a fine
voxel is their product with a learned basis of its place in the slice, so one set of weights serves any factor.
Same examples, time limit, validation blocks and threads as the slice prior in the same folder's README.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from voxprior.networks.unet import UNet, UNetConfig
from voxprior.operators.profiles import fine_centres, interpolation_matrix, slice_centres
from voxprior.operators.separable import Separable, along
from voxprior.priors.condition import FEATURES, describe, interpolate
from voxprior.training.augment import contrast
from voxprior.training.data import load_subjects
from voxprior.training.examples import ExampleConfig, Examples
from voxprior.training.validate import block
from voxprior.volume import SliceGeometry

BASIS = 16
DEPTH, WIDTH, ROWS = 32, 64, 80


class Coarse(nn.Module):
    """(thick slices (n, 1, depth, count, width)) to the residual about the interpolation (n, depth, fine, width)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = UNet(UNetConfig(
            inputs=1, outputs=BASIS, features=FEATURES, dimensions=3, channels=(64, 96), blocks=(1, 1),
            stem=(2, 1, 2), strides=((2, 1, 2),),
        ))
        nn.init.normal_(self.trunk.head.weight, std=1e-3)
        self.basis = nn.Sequential(nn.Linear(1 + 6 + FEATURES, 64), nn.SiLU(), nn.Linear(64, BASIS))

    def forward(self, y: Tensor, vector: Tensor, g: SliceGeometry) -> Tensor:
        features = self.trunk(y, torch.zeros(len(y)), vector)
        offset = (fine_centres(g)[:, None] - slice_centres(g)[None]) / g.spacing
        nearest = torch.from_numpy(np.abs(offset).argmin(axis=1))
        t = torch.from_numpy(offset[np.arange(g.fine_count), nearest.numpy()]).float()
        waves = torch.cat([torch.stack([(np.pi * k * t).sin(), (np.pi * k * t).cos()], 1) for k in (1, 2, 4)], 1)
        code = torch.cat([t[:, None], waves], 1)[None].expand(len(y), -1, -1)
        weights = self.basis(torch.cat([code, vector[:, None].expand(-1, len(t), -1)], 2))
        return torch.einsum("ncdrw,nrc->ndrw", features[:, :, :, nearest], weights)


def batch(examples: Examples, seed: int, step: int, size: int):
    """Blocks that share one geometry: truth, slices, interpolation, spread and description."""
    rng = np.random.default_rng((seed, step))
    images, voxels, planes = [], [], []
    while len(images) < size:
        subject = examples.subjects[int(rng.choice(len(examples.subjects), p=examples.weight))]
        slab = examples._straight(subject, rng, fine_rows=True)
        image = slab.image
        if image.shape[0] < DEPTH or image.shape[1] < ROWS or image.shape[2] < WIDTH or np.mean(image > 0.1) < 0.25:
            continue
        images.append(contrast(image, rng, examples.config.contrast))
        voxels.append(slab.voxel)
        planes.append(slab.plane)
    fine = voxels[0][0]
    while True:
        spacing = float(np.exp(rng.uniform(*np.log(examples.config.spacing))))
        if rng.random() < examples.config.integer:
            spacing = max(2, round(spacing / fine)) * fine
        u = rng.random()
        thickness = max(spacing * (1.0 if u < 0.7 else rng.uniform(0.6, 1) if u < 0.9 else rng.uniform(1, 1.5)), fine)
        count = int((min(128, min(i.shape[1] for i in images)) * fine - thickness) / spacing + 1e-6) + 1
        rows = int(np.ceil(((count - 1) * spacing + thickness) / fine - 1e-3))
        if count >= 3 and spacing > 1.25 * fine:
            break
    profile = str(rng.choice(["box", "gaussian", "slr"], p=[0.6, 0.3, 0.1]))
    g = SliceGeometry(0, count, spacing, thickness, rows, fine, profile)
    starts = [int(rng.integers(i.shape[1] - rows + 1)) for i in images]
    truth = np.stack([i[:DEPTH, s : s + rows, :WIDTH] for i, s in zip(images, starts)])
    thick = np.einsum("kj,nsjc->nskc", g.matrix().astype(np.float32), truth)
    way = interpolate(g)
    m = np.einsum("jk,nskc->nsjc", way.matrix.astype(np.float32), thick)
    vector = np.stack([describe(g, v, p) for v, p in zip(voxels, planes)])
    return g, way.residual, *(torch.from_numpy(a) for a in (truth, thick, m, vector))


@torch.no_grad()
def gains(model: Coarse, subjects) -> dict[str, float]:
    """dB over cubic on the validation blocks of voxprior.training.validate, after the projection."""
    result = {}
    for subject in subjects:
        for factor in (2, 5):
            truth, g = block(subject, factor)
            operator = Separable({1: g.matrix()}, tuple(truth.shape[1:]), g)
            y = operator.apply(truth)
            way = interpolate(g)
            voxel = (subject.voxel[1], subject.voxel[2], subject.voxel[0])
            vector = torch.from_numpy(describe(g, voxel, (1, 2)))[None]
            u = model(y[:, None], vector, g) * way.residual
            restored = operator.prox(along(y, way.matrix, 1) + u, y, 0.0)
            cubic = along(y, interpolation_matrix(g, 3), 1)
            error = [(v - truth).square().mean().log10().item() for v in (cubic, restored)]
            result[f"{subject.name} x{factor}"] = round(10 * (error[0] - error[1]), 3)
    return result


def main() -> None:
    """Train for the given time and log the gain over cubic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20000, help="length of the schedule")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    args.output.mkdir(parents=True, exist_ok=True)
    examples = Examples(load_subjects(args.data, ("fit",)), ExampleConfig(patch=WIDTH), DEPTH, 0.45)
    held = load_subjects(args.data, ("tune",))
    model = Coarse()
    model.trunk.to(memory_format=torch.channels_last_3d)
    average = Coarse()
    average.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    print("parameters", sum(p.numel() for p in model.parameters()))
    print("multiply-adds a thick voxel", model.trunk.multiply_adds)
    started, step, losses = time.monotonic(), 0, []
    report = 5.0
    while (minutes := (time.monotonic() - started) / 60) < args.minutes and step < args.steps:
        g, spread, truth, thick, m, vector = batch(examples, 1, step, 2)
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 300)
        u = model(thick[:, None], vector, g)
        loss = functional.mse_loss(u, (truth - m) / spread)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        step += 1
        with torch.no_grad():
            for a, b in zip(average.parameters(), model.parameters()):
                a.lerp_(b, 1 - min(0.999, (1 + step) / (10 + step)))
        losses.append(loss.item())
        if minutes > report:
            report += 5
            line = {"minutes": round(minutes, 1), "step": step, "loss": float(np.mean(losses))}
            line["gain"] = gains(average, held)
            losses = []
            with (args.output / "log.jsonl").open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            print(line, flush=True)
    line = {"minutes": round(minutes, 1), "step": step, "gain": gains(average, held)}
    with (args.output / "log.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    print(line)


if __name__ == "__main__":
    main()
