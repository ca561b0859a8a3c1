"""The settings of a training, validated before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from voxprior.errors import InputError
from voxprior.priors.denoiser import SlicePriorConfig
from voxprior.priors.volume import VolumePriorConfig
from voxprior.training.enhance import EnhanceConfig
from voxprior.training.examples import ExampleConfig
from voxprior.training.slices import KspaceConfig
from voxprior.training.volumes import VolumeExampleConfig


class FitConfig(BaseModel):
    """A training of a prior; the examples say of what (with ``coils`` of k-space, with ``cells`` of volumes,
    with ``factor`` of coarse voxels), and so which prior: volumes need a volume prior, the others one of slices.

    ``data``: folder with manifest.csv, a download (:mod:`voxprior.training.sources`), packed ``.npz``, or (k-space) a
    folder of ``.h5`` files. ``output``: folder for checkpoints, logs and pictures.
    ``batch``: examples of one pass; a step has ``accumulate`` passes on each of the processes. ``devices`` of this
    machine (auto: every GPU, or what torchrun started, or one CPU process), joined by ``strategy``: ``ddp`` copies the
    network to each, ``fsdp`` spreads it over them.
    ``rate``: AdamW rate, reached after ``warmup`` steps, held, and brought to zero over the last ``decay`` steps.
    ``noise_spread``: std of ln(sigma) about ``noise_centre`` times the data's own spread. ``ema``: decay of the weight
    average.
    ``validate_every``, ``save_every``: steps. ``start``: weights to begin with. ``threads``: 0 leaves torch's choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    output: Path
    examples: EnhanceConfig | ExampleConfig | KspaceConfig | VolumeExampleConfig = ExampleConfig()
    prior: SlicePriorConfig | VolumePriorConfig = Field(default=SlicePriorConfig(), validate_default=True)
    steps: int = 40_000
    batch: int = 8
    accumulate: int = Field(default=1, ge=1)
    devices: int | Literal["auto"] = "auto"
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    rate: float = 1e-3
    warmup: int = 300
    decay: int = 8_000
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    noise_centre: float = 1.0
    noise_spread: float = 1.2
    variance_weight: float = 0.05
    seed: int = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accelerator: str = "auto"
    threads: int = 0
    workers: int = 0
    validate_every: int = 2000
    save_every: int = 500
    start: Path | None = None

    @field_validator("prior", mode="before")
    @classmethod
    def _of_the_examples(cls, value: Any, info: ValidationInfo) -> Any:
        """The prior that the examples need: many settings are fields of both kinds, so they do not tell."""
        if "examples" not in info.data:  # they are wrong themselves, which is what the user should read
            return SlicePriorConfig()
        volumes = isinstance(info.data["examples"], VolumeExampleConfig)
        kind, other = (VolumePriorConfig, SlicePriorConfig) if volumes else (SlicePriorConfig, VolumePriorConfig)
        if isinstance(value, other):
            if not volumes or value != other():  # the default says nothing that a volume prior would not know
                raise PydanticCustomError("prior", _MISMATCH[volumes])
            return kind()
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else ""
            if first["type"] == "extra_forbidden" and name in other.model_fields:
                raise PydanticCustomError("prior", f"{name} is no setting here: {_MISMATCH[volumes]}") from None
            raise PydanticCustomError("prior", "{where}: {what}", {"where": name, "what": first["msg"]}) from None


_MISMATCH = {
    True: "the examples are volumes (cells), and need the settings of a volume prior",
    False: "a volume prior needs examples of volumes (cells)",
}


Settings = TypeVar("Settings", bound=BaseModel)


def read_config(path: Path, **overrides: Any) -> FitConfig:
    """Read a YAML file of :class:`FitConfig`; see :func:`read_settings`."""
    return read_settings(path, FitConfig, **overrides)


def read_settings(path: Path, kind: type[Settings], **overrides: Any) -> Settings:
    """Read a YAML file of settings of one ``kind``; paths in it are relative to the working folder.

    Raises :class:`InputError` that names the first wrong entry.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; copy one of src/voxprior/configs and change what differs") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({type(error).__name__}); check the file") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no settings; see voxprior/configs for examples")
    try:
        return kind(**{**values, **{k: v for k, v in overrides.items() if v is not None}})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; correct this entry") from None
