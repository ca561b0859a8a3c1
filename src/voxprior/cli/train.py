"""``voxprior train``: train a prior."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from voxprior.cli.show import say, warn

if TYPE_CHECKING:
    from voxprior.training.config import FitConfig


def train(
    config: Path,
    /,
    *,
    resume: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    minutes: float | None = None,
    pack: Path | None = None,
    publish: Path | None = None,
) -> int:
    """Train a prior as a YAML file says.

    Example: voxprior train settings.yaml

    Parameters
    ----------
    config
        YAML file of settings; those of the shipped weights are in the package, src/voxprior/configs in the repository.
    resume
        Go on from the checkpoint in the output folder; without it a folder with a checkpoint is refused.
    minutes
        Stop after so many minutes, with a checkpoint to resume from.
    pack
        Train nothing: write the training volumes into one .npz file, which may then stand as data in the settings.
    publish
        Train nothing: write the weight average of the checkpoint as a .safetensors file, with its card beside it.
    """
    # Examples need many small matrices; a second BLAS thread for them only takes the cores from torch.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    require_training()
    from voxprior.training.config import read_config
    from voxprior.training.fit import main

    settings = read_config(config)
    if pack is not None or publish is not None:
        with warnings_in_lines():
            return _write(settings, pack, publish)
    start_or_resume(settings.output, resume)
    with warnings_in_lines():
        say(str(main(config, minutes)))
    return 0


def require_training() -> None:
    """Raise :class:`InputError` unless the packages that a training needs are there."""
    from importlib.util import find_spec

    from voxprior.errors import InputError

    if find_spec("lightning_fabric") is None or find_spec("yaml") is None:
        raise InputError("training needs the extra 'train'; pip install 'voxprior[train]'")


def start_or_resume(output: Path, resume: bool) -> None:
    """Raise :class:`InputError` when ``output`` holds a checkpoint that is not to be resumed, or none that is."""
    from voxprior.errors import InputError
    from voxprior.training.fit import CHECKPOINT

    there = (output / CHECKPOINT).exists()
    if there and not resume:
        raise InputError(f"{output}: holds a checkpoint; give --resume to go on from it, or another output folder")
    if resume and not there:
        raise InputError(f"{output}: holds no checkpoint to resume from; leave --resume out")


@contextmanager
def warnings_in_lines() -> Iterator[None]:
    """Tell of files that are left out in the program's own lines, each once."""
    import warnings

    from voxprior.training.sources.detect import LeftOut

    told, before = set[str](), warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, LeftOut):
            before(message, category, *place, **more)
        elif str(message) not in told:
            told.add(str(message))
            warn(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", LeftOut)
        warnings.showwarning = show
        yield


def _write(settings: FitConfig, pack: Path | None, publish: Path | None) -> int:
    from voxprior.errors import InputError
    from voxprior.training import data
    from voxprior.training import publish as publication

    if pack is not None:
        if pack.suffix != ".npz":
            raise InputError(f"--pack {pack.name} must end in .npz")
        say(f"{pack}: {data.pack(settings.data, pack) / 2**20:.1f} MiB")
    if publish is not None:
        if publish.suffix != ".safetensors":
            raise InputError(f"--publish {publish.name} must end in .safetensors")
        card = publication.publish(settings, publish)
        gains = {name: figures for name, figures in card["figures"].items() if name.startswith("gain")}
        say(f"{publish}: {card['bytes'] / 2**20:.1f} MiB, {gains}")
    return 0
