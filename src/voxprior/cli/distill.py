"""``voxprior distill``: make a many-step prior into a one-step student."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from voxprior.cli.show import say


def distill(
    config: Path,
    /,
    *,
    resume: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    minutes: float | None = None,
    publish: Path | None = None,
) -> int:
    """Distil a volume prior into a network that restores in one call, as a YAML file says.

    Example: voxprior distill settings.yaml

    Parameters
    ----------
    config
        YAML file of settings; those of the shipped weights are in the package, src/voxprior/configs in the repository.
    resume
        Go on from the checkpoint in the output folder; without it a folder with a checkpoint is refused.
    minutes
        Stop after so many minutes, with a checkpoint to resume from.
    publish
        Distil nothing: write the student of the checkpoint as a .safetensors file, with its card beside it.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from voxprior.cli.train import require_training, start_or_resume, warnings_in_lines
    from voxprior.errors import InputError

    require_training()
    from voxprior.training.config import read_settings
    from voxprior.training.distill import DistillConfig
    from voxprior.training.distill import distill as run

    settings = read_settings(config, DistillConfig)
    if publish is not None:
        from voxprior.training.publish import publish_student

        if publish.suffix != ".safetensors":
            raise InputError(f"--publish {publish.name} must end in .safetensors")
        card = publish_student(settings, publish)
        say(f"{publish}: {card['bytes'] / 2**20:.1f} MiB, {card['figures']['psnr']}")
        return 0
    start_or_resume(settings.output, resume)
    with warnings_in_lines():
        say(str(run(settings, minutes)))
    return 0
