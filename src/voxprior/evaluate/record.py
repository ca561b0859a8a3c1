"""What the store keeps of one result."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch


class Case(Protocol):
    """One problem of an evaluation; equal cases give equal figures."""

    @property
    def name(self) -> str:
        """Subject, kind and direction."""
        ...

    @property
    def kind(self) -> str:
        """What was done to the truth, in words: the row of a table."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        ...


def as_record(
    case: Case, found_by: str, label: str, how: Mapping[str, Any], figures: Mapping[str, Any]
) -> dict[str, Any]:
    """What the store keeps of one result; ``how``: settings, and the weights where there are any."""
    return {
        "key": found_by,
        "name": case.name,
        "kind": case.kind,
        "case": case.to_dict(),
        "label": label,
        **how,
        "figures": {name: _finite(value) for name, value in figures.items()},
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """What times depend on, without the name of the machine."""
    return {"processor": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def _finite(value: Any) -> Any:
    """JSON has no infinity: a perfect PSNR is null, and so is a figure of an image that is not finite."""
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
