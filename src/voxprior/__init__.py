"""Voxprior restores three-dimensional medical scans with diffusion priors.

Nothing heavy is imported until it is used: ``import voxprior`` loads neither numpy nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxprior.diffusion.denoiser import Denoiser
    from voxprior.diffusion.process import Process
    from voxprior.diffusion.sample import sample
    from voxprior.diffusion.schedule import Step, schedule
    from voxprior.errors import InputError
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
    "check": "voxprior.operators.check",
    "reconstruct": "voxprior.jobs.recon_memory",
    "reconstruct_sinogram": "voxprior.jobs.ct_memory",
    "restore": "voxprior.jobs.memory",
    "sample": "voxprior.diffusion.sample",
    "schedule": "voxprior.diffusion.schedule",
    "simulate_views": "voxprior.jobs.ct_memory",
}

__all__ = [
    "Denoiser",
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
    "__version__",
    "check",
    "reconstruct",
    "reconstruct_sinogram",
    "restore",
    "sample",
    "schedule",
    "simulate_views",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'voxprior' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
