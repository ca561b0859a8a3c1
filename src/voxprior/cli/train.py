"""``voxprior train``: train a prior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from voxprior.cli.show import say


def train(
    config: Path,
    /,
    *,
    resume: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    minutes: float | None = None,
) -> int:
    """Train a prior as a YAML file says.

    Parameters
    ----------
    config
        Settings of the training; configs/ has those of the shipped weights.
    resume
        Go on from the checkpoint in the output folder; without it a folder with a checkpoint is refused.
    minutes
        Stop after so many minutes, with a checkpoint to resume from.
    """
    from importlib.util import find_spec

    from voxprior.errors import InputError

    if find_spec("lightning_fabric") is None or find_spec("yaml") is None:
        raise InputError("training needs the extra 'train'; pip install 'voxprior[train]'")
    from voxprior.training.config import read_config
    from voxprior.training.fit import CHECKPOINT, main

    output = read_config(config).output
    there = (output / CHECKPOINT).exists()
    if there and not resume:
        raise InputError(f"{output}: holds a checkpoint; give --resume to go on from it, or another output folder")
    if resume and not there:
        raise InputError(f"{output}: holds no checkpoint to resume from; leave --resume out")
    say(str(main(config, minutes)))
    return 0
