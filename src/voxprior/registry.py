"""Names of jobs, methods and weights, as strings: nothing is imported before it is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

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


def weight_names() -> tuple[str, ...]:
    """Names of the weights in the package, in alphabetical order."""
    return tuple(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))
