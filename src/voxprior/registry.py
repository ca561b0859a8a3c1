"""Names of jobs, methods and weights, as strings: nothing is imported before it is chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from voxprior.errors import InputError

_BASELINES = "voxprior.methods.baselines"
_LINEAR = "voxprior.methods.linear"
_HFS_SDE = "voxprior.methods.hfs_sde"
_TOMOGRAPHY = "voxprior.methods.tomography"
_TPDM = "voxprior.methods.tpdm:tpdm"

JOBS: Mapping[str, str] = {
    "sr": "thick slices to thin slices",
    "recon": "k-space to images",
    "ct": "X-ray views to volumes",
    "enhance": "coarse voxels to fine ones, within the slices or in three directions",
    "generate": "new volumes from the prior alone",
}
"""What each job does; more join this table when they exist."""

METHODS: Mapping[str, Mapping[str, str]] = {
    "sr": {
        "voxprior": "voxprior.methods.voxprior:voxprior",
        "nearest": f"{_BASELINES}:nearest",
        "linear": f"{_BASELINES}:linear",
        "cubic": f"{_BASELINES}:cubic",
        "cubic-projected": f"{_BASELINES}:cubic_projected",
        "os-ddpm": "voxprior.methods.os_ddpm:os_ddpm",
        "tpdm": _TPDM,
    },
    "recon": {
        "voxprior": "voxprior.methods.kspace:voxprior",
        "tpdm": _TPDM,
        "hfs-sde": f"{_HFS_SDE}:hfs_sde",
        "ve-sde": f"{_HFS_SDE}:ve_sde",
        "vp-sde": f"{_HFS_SDE}:vp_sde",
        "zero-filled": f"{_LINEAR}:zero_filled",
        "sense": f"{_LINEAR}:sense",
        "tv": f"{_LINEAR}:tv",
    },
    "ct": {
        "voxprior": "voxprior.methods.ct:voxprior",
        "tpdm": _TPDM,
        "fbp": f"{_TOMOGRAPHY}:fbp",
        "cgls": f"{_TOMOGRAPHY}:cgls",
        "tv": f"{_TOMOGRAPHY}:tv",
    },
    "enhance": {
        "voxprior": "voxprior.methods.enhance:voxprior",
        "mri-sr": "voxprior.methods.mri_sr:mri_sr",
        "nearest": f"{_BASELINES}:nearest",
        "linear": f"{_BASELINES}:linear",
        "cubic": f"{_BASELINES}:cubic",
        "cubic-projected": f"{_BASELINES}:cubic_projected",
    },
    "generate": {"voxprior": "voxprior.methods.generate:voxprior", "tpdm": _TPDM},
}
"""Job to method name to ``module:object``."""

OPERATORS: Mapping[str, str] = {
    "separable": "voxprior.operators.separable:Separable",
    "tilted-slices": "voxprior.operators.tilted:TiltedSlices",
    "fourier": "voxprior.operators.fourier:Fourier",
    "real-image": "voxprior.operators.fourier:RealImage",
    "tomography": "voxprior.operators.tomography:Tomography",
    "compose": "voxprior.operators.base:Compose",
    "stack": "voxprior.operators.base:Stack",
    "deepinv": "voxprior.operators.deepinv:DeepinvOperator",
}
"""Operator name to ``module:object``; each has an example in the contract test."""

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the weights that the package carries."""

DEFAULT_WEIGHTS: Mapping[str, Mapping[str, str]] = {
    "sr": {"voxprior": "head-slices", "os-ddpm": "head-os-ddpm", "tpdm": "head-slices"},
    "recon": {
        "voxprior": "head-kspace",
        "tpdm": "head-kspace",
        "hfs-sde": "head-hfs",
        "ve-sde": "head-kspace",
        "vp-sde": "head-kspace",
    },
    "ct": {"voxprior": "thorax-ct", "tpdm": "thorax-ct"},
    "enhance": {"voxprior": "head-enhance", "mri-sr": "head-enhance"},
    "generate": {"voxprior": "head-slices", "tpdm": "head-slices"},
}
"""Job to method to the weights that it takes unless told otherwise; methods without a network are left out."""

OPTION_WEIGHTS: Mapping[str, str] = {
    "sr/voxprior --mode one-step": "head-one-step",
    "sr/os-ddpm --steps N": "head-volume",
    "enhance/voxprior --planes volume": "head-volume",
    "enhance/mri-sr --network volume": "head-volume",
}
"""Job, method and the option with which it takes other weights than those of :data:`DEFAULT_WEIGHTS`."""

HUB = "hf://"
_HUB_NAME = re.compile(
    r"hf://(?P<repository>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w.-]*))?/"
    r"(?P<file>(?:\w[\w.-]*/)*\w[\w.-]*\.safetensors)(?:#sha256=(?P<sha256>[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class WeightsPlace:
    """Where a text for ``--weights`` leads: a file (bundled, or the user's), or a file of a hub repository.

    ``path``: of the file, None on the hub. ``repository``, ``revision``, ``file``: on the hub, ``revision`` possibly
    None. ``sha256``: what its digest must be, if the text says so.
    """

    origin: Literal["bundled", "file", "hub"]
    path: Path | None = None
    repository: str = ""
    revision: str | None = None
    file: str = ""
    sha256: str | None = None


@dataclass(frozen=True)
class WeightsEntry:
    """Weights that the package carries: their card, and the methods (``job/method``, with an option where it decides)
    that take them by default.
    """

    name: str
    card: Mapping[str, Any]
    default_of: tuple[str, ...]


def require(name: str, job: str = "sr") -> str:
    """Where the method ``name`` of ``job`` is, ``module:object``; raises :class:`InputError` that lists the names."""
    if job not in METHODS:
        raise InputError(f"job {job} is unknown; give one of {', '.join(METHODS)}")
    if name not in METHODS[job]:
        raise InputError(f"--method {name} is unknown; give one of {', '.join(METHODS[job])}")
    return METHODS[job][name]


def resolve(name: str, job: str = "sr") -> Any:
    """The method object ``name`` of ``job``, imported now; raises :class:`InputError` that lists the names."""
    module, _, attribute = require(name, job).partition(":")
    return getattr(import_module(module), attribute)


def weights_table() -> Mapping[str, WeightsEntry]:
    """The weights in the package, by name: what `voxprior info`, the documents and the forms show of them."""
    found = {}
    for name in weight_names():
        pairs = [(job, method, taken) for job, by in DEFAULT_WEIGHTS.items() for method, taken in by.items()]
        users = (
            *(f"{job}/{method}" for job, method, taken in pairs if taken == name),
            *(user for user, taken in OPTION_WEIGHTS.items() if taken == name),
        )
        card = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
        found[name] = WeightsEntry(name, card, users)
    return found


def weights_place(text: str) -> WeightsPlace:
    """Where ``text`` leads: a bundled name, a ``.safetensors`` file, or
    ``hf://OWNER/REPOSITORY[@REVISION]/FILE.safetensors[#sha256=DIGEST]``; raises :class:`InputError` for another.
    """
    if text.startswith(HUB):
        match = _HUB_NAME.fullmatch(text)
        if match is None:
            raise InputError(
                f"--weights {text} must read hf://OWNER/REPOSITORY/FILE.safetensors, with @REVISION after the "
                "repository and #sha256=DIGEST at the end where wanted"
            )
        repository, revision, file, digest = match.group("repository", "revision", "file", "sha256")
        return WeightsPlace("hub", None, repository, revision, file, digest)
    if text.endswith(".safetensors"):
        return WeightsPlace("file", Path(text))
    if text not in weight_names():
        known = ", ".join(weight_names()) or "none"
        raise InputError(f"--weights {text} is unknown; bundled: {known}; or give a .safetensors file or hf://")
    return WeightsPlace("bundled", WEIGHTS / f"{text}.safetensors")


def weight_names() -> tuple[str, ...]:
    """Names of the weights in the package, in alphabetical order."""
    return tuple(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))
