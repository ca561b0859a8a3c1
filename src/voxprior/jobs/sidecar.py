"""What lies beside an output: how it was made, and the proof that it explains the measurement."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import voxprior
from voxprior.jobs.job import NOTICES
from voxprior.jobs.options import SharedOptions

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


class Account(Protocol):
    """What a result tells of the run that made it."""

    @property
    def seconds(self) -> float:
        """Of the restoration alone."""

    @property
    def peak_memory(self) -> int | None:
        """Bytes."""

    @property
    def calls(self) -> int:
        """Of the network."""

    @property
    def weights(self) -> Mapping[str, str] | None:
        """Name and sha256."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """Settings as they were resolved."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences."""


def sidecar(
    job: str,
    restored: Account,
    options: SharedOptions,
    certificate: Mapping[str, Any],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> dict[str, Any]:
    """All that is known of a restoration, as JSON values; ``inputs`` and ``outputs`` are names without folders."""
    notes = dict(restored.notes)
    told = {name: notes.pop(name) for name in ("interval",) if name in notes}
    return {
        "job": job,
        "notice": NOTICES[job],
        "versions": versions(),
        "weights": None if restored.weights is None else dict(restored.weights),
        "settings": {**settings(options), **notes},
        "seed": options.seed,
        "certificate": dict(certificate),
        "residual": certificate["residual"],
        **told,
        "seconds": round(restored.seconds, 3),
        "peak_memory_bytes": restored.peak_memory,
        "network_calls": restored.calls,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "warnings": list(restored.warnings),
    }


def settings(options: SharedOptions) -> dict[str, Any]:
    """``options`` as JSON values, files by name alone: a folder may be named after a patient."""
    values = options.model_dump(mode="json")
    for name in ("weights", "profile", "maps", "mask"):
        if values.get(name) is not None and not values[name].startswith("hf://"):
            values[name] = Path(values[name]).name
    return values
