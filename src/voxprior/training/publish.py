"""From a checkpoint to weights that others may use: half precision, with a card that says what they are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from voxprior.errors import InputError
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.weights import export
from voxprior.training.config import FitConfig
from voxprior.training.fit import CHECKPOINT, LOG
from voxprior.training.task import make_task

LICENCE = "Apache-2.0"


def publish(config: FitConfig, target: Path) -> dict[str, Any]:
    """Write the weight average of a training to ``target`` (.safetensors) with its card; return the card.

    Its figures are measured here, on the ``tune`` subjects, with the half-precision weights as they are shipped.
    Raises :class:`InputError` when there is no checkpoint.
    """
    checkpoint = config.output / CHECKPOINT
    if not checkpoint.is_file():
        raise InputError(f"{config.output}: holds no {CHECKPOINT}; train first")
    with safe_open(checkpoint, framework="pt") as archive:
        metadata = archive.metadata()
        state = {k.removeprefix("ema."): archive.get_tensor(k) for k in archive.keys() if k.startswith("ema.")}
    prior = SlicePrior(config.prior).requires_grad_(False)
    prior.load_state_dict({k: v.half().float() for k, v in state.items()})
    task = make_task(config)
    scores = task.validate(prior.eval(), thorough=True)
    settings = config.model_dump(mode="json", exclude={"data", "output", "start"})
    card = {
        "licence": LICENCE,
        "data": task.describe(),
        "training": {
            "settings": settings,
            "steps": int(metadata["step"]),
            "hours": round(float(metadata["seconds"]) / 3600, 2),
            "hardware": f"{os.cpu_count()} CPU cores, torch {torch.__version__}, float32",
        },
        "figures": {
            "protocol": task.protocol,
            f"gain_over_{task.baseline.split()[-1]}": {s.case: round(s.psnr - s.baseline, 2) for s in scores},
            "psnr": {s.case: round(s.psnr, 2) for s in scores},
        },
        "trained_range": {**task.trained_range, "sigma": [config.prior.sigma_min, config.prior.sigma_max]},
        "intended_use": "research; not a medical device, not for diagnosis",
    }
    return export(prior, target, card)


def learning_curve(folder: Path) -> list[dict[str, Any]]:
    """The validations of a training in order: step, seconds, and gain in dB over cubic a subject and factor."""
    lines = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "gain" in line]

