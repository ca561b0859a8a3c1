"""What lies beside an output: how it was made, and the proof that it explains the measurement."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import voxprior
from voxprior.io.certificate import slice_certificate, slice_residual
from voxprior.jobs.job import NOTICE
from voxprior.jobs.options import SrOptions
from voxprior.jobs.sr import Restored

PACKAGES = ("torch", "numpy", "scipy", "nibabel")


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of what computes."""
    found = {"voxprior": voxprior.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def file_certificate(restored: Restored, source: Path, target: Path) -> dict[str, Any]:
    """The certificate of an output that goes to ``target``, for slices that were read from file ``source``."""
    return slice_certificate(
        restored.geometry,
        restored.measurement,
        restored.image,
        source,
        target,
        restored.noise,
        restored.noise_source,
    )


def memory_certificate(restored: Restored) -> dict[str, Any]:
    """The certificate of a result that was restored from memory: operator and residual, but no files to check."""
    residual, per_slice = slice_residual(restored.geometry, restored.image.data, restored.measurement.data)
    return {
        "operator": {"kind": "slices", **restored.geometry.to_dict()},
        "input": None,
        "input_sha256": None,
        "output_sha256": None,
        "residual": residual,
        "residual_per_slice": per_slice,
        "noise": restored.noise,
        "noise_source": restored.noise_source,
    }


def sidecar(
    restored: Restored,
    options: SrOptions,
    certificate: Mapping[str, Any],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> dict[str, Any]:
    """All that is known of a restoration, as JSON values; ``inputs`` and ``outputs`` are names without folders."""
    return {
        "job": "sr",
        "notice": NOTICE,
        "versions": versions(),
        "weights": None if restored.weights is None else dict(restored.weights),
        "settings": {**settings(options), **restored.notes},
        "seed": options.seed,
        "certificate": dict(certificate),
        "residual": certificate["residual"],
        "seconds": round(restored.seconds, 3),
        "peak_memory_bytes": restored.peak_memory,
        "network_calls": restored.calls,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "warnings": list(restored.warnings),
    }


def settings(options: SrOptions) -> dict[str, Any]:
    """``options`` as JSON values, files by name alone: a folder may be named after a patient."""
    values = options.model_dump(mode="json")
    for name in ("weights", "profile"):
        if values[name] is not None and not values[name].startswith("hf://"):
            values[name] = Path(values[name]).name
    return values
