"""Voxprior restores three-dimensional medical scans with diffusion priors.

The nine words, from which every method is made: :class:`Volume`, :class:`Operator`, :class:`Measurement`,
:class:`Denoiser`, guidance (:func:`proximal`, :func:`projection`, :func:`dps`, :func:`pi_gdm`), :class:`Process`,
:class:`Step` (made by :func:`schedule`), :func:`sample` and :class:`Method`. :func:`restore` and its sisters use them.

Nothing heavy is imported until it is used: ``import voxprior`` loads neither numpy nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxprior.diffusion.denoiser import Denoiser
    from voxprior.diffusion.process import Process, White
    from voxprior.diffusion.sample import Guided, sample, start
    from voxprior.diffusion.schedule import Step, schedule
    from voxprior.errors import InputError
    from voxprior.guidance.gradient import dps, pi_gdm
    from voxprior.guidance.proximal import projection, proximal
    from voxprior.jobs.ct_memory import Tomogram, reconstruct_sinogram, simulate_views
    from voxprior.jobs.memory import Restoration, restore
    from voxprior.jobs.recon_memory import Reconstruction, reconstruct
    from voxprior.methods.result import Method, Result
    from voxprior.operators.base import Measurement, Operator
    from voxprior.operators.check import check
    from voxprior.volume import SliceGeometry, Volume

__version__ = "0.1.0"

_WHERE = {
    "Denoiser": "voxprior.diffusion.denoiser",
    "Guided": "voxprior.diffusion.sample",
    "InputError": "voxprior.errors",
    "Measurement": "voxprior.operators.base",
    "Method": "voxprior.methods.result",
    "Operator": "voxprior.operators.base",
    "Process": "voxprior.diffusion.process",
    "Reconstruction": "voxprior.jobs.recon_memory",
    "Restoration": "voxprior.jobs.memory",
    "Result": "voxprior.methods.result",
    "SliceGeometry": "voxprior.volume",
    "Step": "voxprior.diffusion.schedule",
    "Tomogram": "voxprior.jobs.ct_memory",
    "Volume": "voxprior.volume",
    "White": "voxprior.diffusion.process",
    "check": "voxprior.operators.check",
    "dps": "voxprior.guidance.gradient",
    "pi_gdm": "voxprior.guidance.gradient",
    "projection": "voxprior.guidance.proximal",
    "proximal": "voxprior.guidance.proximal",
    "reconstruct": "voxprior.jobs.recon_memory",
    "reconstruct_sinogram": "voxprior.jobs.ct_memory",
    "restore": "voxprior.jobs.memory",
    "sample": "voxprior.diffusion.sample",
    "schedule": "voxprior.diffusion.schedule",
    "simulate_views": "voxprior.jobs.ct_memory",
    "start": "voxprior.diffusion.sample",
}

__all__ = [
    "Denoiser",
    "Guided",
    "InputError",
    "Measurement",
    "Method",
    "Operator",
    "Process",
    "Reconstruction",
    "Restoration",
    "Result",
    "SliceGeometry",
    "Step",
    "Tomogram",
    "Volume",
    "White",
    "__version__",
    "check",
    "dps",
    "pi_gdm",
    "projection",
    "proximal",
    "reconstruct",
    "reconstruct_sinogram",
    "restore",
    "sample",
    "schedule",
    "simulate_views",
    "start",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'voxprior' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
