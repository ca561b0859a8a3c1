"""From a checkpoint to weights that others may use: half precision, with a card that says what they are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from voxprior.errors import InputError
from voxprior.priors.kinds import make_prior
from voxprior.priors.volume import VolumePrior
from voxprior.priors.weights import export, load_as
from voxprior.training.config import FitConfig
from voxprior.training.data import held_back
from voxprior.training.distill import DistillConfig
from voxprior.training.fit import CHECKPOINT, LOG
from voxprior.training.task import VolumeTask, make_task
from voxprior.training.validate_student import validate_student

LICENCE = "Apache-2.0"


def publish(config: FitConfig, target: Path) -> dict[str, Any]:
    """Write the weight average of a training to ``target`` (.safetensors) with its card; return the card.

    Its figures are measured here, on the ``tune`` subjects, with the half-precision weights as they are shipped.
    Raises :class:`InputError` when there is no checkpoint.
    """
    prior = make_prior(config.prior).requires_grad_(False)
    training = _averaged(config.output, prior)
    task = make_task(config)
    scores = task.validate(prior.eval(), thorough=True)
    settings = config.model_dump(mode="json", exclude={"data", "output", "start"})
    card = {
        "licence": LICENCE,
        "data": task.describe(),
        "training": {"settings": settings, **training},
        "figures": {
            "protocol": task.protocol,
            f"gain_over_{task.baseline.split()[-1]}": {s.case: round(s.psnr - s.baseline, 2) for s in scores},
            "psnr": {s.case: round(s.psnr, 2) for s in scores},
        },
        "trained_range": {**task.trained_range, "sigma": [config.prior.sigma_min, config.prior.sigma_max]},
        "intended_use": "research; not a medical device, not for diagnosis",
    }
    return export(prior, target, card)


def publish_student(config: DistillConfig, target: Path) -> dict[str, Any]:
    """Write the average of a distilled student to ``target`` (.safetensors) with its card; return the card.

    As :func:`publish`; the card says under ``student`` what the one call starts from, and which weights taught it.
    """
    teacher = load_as(config.teacher, VolumePrior)
    student = VolumePrior(teacher.prior.config).requires_grad_(False)
    training = _averaged(config.output, student)
    task = VolumeTask(config)
    scores = validate_student(config.student, student.eval(), held_back(config.data, thorough=True), (2, 3, 4, 5, 8))
    card = {
        "licence": LICENCE,
        "data": task.describe(),
        "student": {**config.student.model_dump(mode="json"), "teacher": teacher.name, "sha256": teacher.sha256},
        "training": {"settings": config.model_dump(mode="json", exclude={"data", "output", "teacher"}), **training},
        "figures": {
            "protocol": f"{task.protocol.replace(', or twice coarser along L-R and A-P (in plane)', '')}; one sample",
            "psnr": {s.case: s.psnr for s in scores},
            "high_frequency_energy_over_truth": {s.case: s.high_frequency_ratio for s in scores},
        },
        "trained_range": task.trained_range,
        "intended_use": "research; not a medical device, not for diagnosis",
    }
    return export(student, target, card)


def _averaged(folder: Path, prior: torch.nn.Module) -> dict[str, Any]:
    """Give ``prior`` the weight average of the training in ``folder``, as it is shipped; return what the card says."""
    checkpoint = folder / CHECKPOINT
    if not checkpoint.is_file():
        raise InputError(f"{folder}: holds no {CHECKPOINT}; train first")
    with safe_open(checkpoint, framework="pt") as archive:
        metadata = archive.metadata()
        state = {k.removeprefix("ema."): archive.get_tensor(k) for k in archive.keys() if k.startswith("ema.")}
    prior.load_state_dict({k: v.half().float() for k, v in state.items()})
    return {
        "steps": int(metadata["step"]),
        "hours": round(float(metadata["seconds"]) / 3600, 2),
        "hardware": f"{os.cpu_count()} CPU cores, torch {torch.__version__}, float32",
    }


def learning_curve(folder: Path) -> list[dict[str, Any]]:
    """The validations of a training in order: step, seconds, and gain in dB over cubic a subject and factor."""
    lines = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "gain" in line]

