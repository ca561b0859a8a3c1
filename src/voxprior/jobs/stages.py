"""A cascade: the stages of ``enhance``, from the command line's options alone or from a list in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voxprior.errors import InputError
from voxprior.io.names import shown
from voxprior.jobs.options import EnhanceOptions, require_method
from voxprior.operators.decimation import Refinement, coarse_axes, profile_of

LARGEST = 1 << 20
"""Bytes of a file of stages."""
PROJECTED = "cubic-projected"
"""The baseline that needs a linear degradation."""
MOST = 8
"""Stages of a cascade."""
SETTINGS = ("name", "method", "axes", "factor", "degradation", *EnhanceOptions.for_method)
"""What a stage may say; ``name``: what the sidecar calls it."""


@dataclass(frozen=True)
class Stage:
    """One method with its options, and what the sidecar calls it."""

    name: str
    options: EnhanceOptions

    def refinement(self, spacing: Sequence[float]) -> Refinement:
        """What it does to a grid of ``spacing``, mm; raises :class:`InputError` for axes that are not there."""
        options = self.options
        return Refinement(coarse_axes(spacing, options.axes), options.factor, profile_of(options.degradation))


def stages_of(options: EnhanceOptions, config: Path | None) -> tuple[Stage, ...]:
    """The stages that ``config`` lists, where it is silent with ``options``; without it one stage.

    Raises :class:`InputError` for a file that cannot be read, and for options that do not belong together.
    """
    if config is None:
        stages = [Stage(options.method, options)]
    else:
        if options.strength != 1:
            raise InputError("--strength takes one stage; leave it out with --config")
        stages = [_stage(number, one, options) for number, one in enumerate(_read(config), 1)]
    for stage in stages:
        _require_sense(stage.options)
    return tuple(stages)


def _require_sense(options: EnhanceOptions) -> None:
    require_method("enhance", options)
    coarse_axes((1.0, 1.0, 1.0), options.axes)
    if options.factor == 1 and options.degradation != "1.5t":
        raise InputError("--factor 1 leaves nothing to restore; give more than 1 (with --degradation 1.5t 1 will do)")
    if options.degradation == "1.5t" and options.method == PROJECTED:
        raise InputError(f"--method {PROJECTED} needs a linear degradation; with --degradation 1.5t choose cubic")


def _read(config: Path) -> Sequence[Any]:
    """The list in the file."""
    try:
        import yaml
    except ImportError:
        raise InputError("--config needs the extra 'train'; pip install 'voxprior[train]'") from None
    name = shown(config)
    try:
        if config.stat().st_size > LARGEST:
            raise InputError(f"--config {name}: far too large for a list of stages")
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {name}: cannot be read ({error.strerror}); check the name") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise InputError(f"--config {name}: not YAML; give a list under stages:") from None
    stages = values.get("stages") if isinstance(values, dict) and set(values) == {"stages"} else None
    if not isinstance(stages, list) or not 1 <= len(stages) <= MOST:
        raise InputError(f"--config {name}: give a list of 1 to {MOST} stages under stages:, and nothing else")
    return stages


def _stage(number: int, given: Any, base: EnhanceOptions) -> Stage:
    if not isinstance(given, dict):
        raise InputError(f"--config: stage {number}: give its settings as names and values")
    unknown = [str(name) for name in given if name not in SETTINGS]
    if unknown:
        raise InputError(f"--config: stage {number}: {unknown[0]} is none of {', '.join(SETTINGS)}")
    name = str(given.get("name") or "")
    told = {key: value for key, value in given.items() if key != "name"}
    try:
        options = EnhanceOptions(**{**base.model_dump(exclude_unset=True), **told})
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg'][0].lower()}{first['msg'][1:]}"
        raise InputError(f"--config: stage {number}: {reason}") from None
    return Stage(name or f"{number} {options.method}", options)
