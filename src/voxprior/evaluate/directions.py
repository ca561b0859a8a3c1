"""Directions of the patient: left-right, front-back, foot-head."""

from __future__ import annotations

import re
from collections.abc import Mapping

from voxprior.volume import Volume

DIRECTIONS = ("L-R", "A-P", "I-S")
_OF_CODE = {"L": "L-R", "R": "L-R", "A": "A-P", "P": "A-P", "I": "I-S", "S": "I-S"}


def fine_directions(row: Mapping[str, str]) -> tuple[str, ...]:
    """Directions in which a file of the manifest truly has fine resolution; a remark such as ``(soft)`` is none."""
    return tuple(d for d in re.findall(r"[A-Z]-[A-Z]", row["fine_axes"]) if d in DIRECTIONS)


def array_axis(volume: Volume, direction: str) -> int:
    """Array axis of ``volume`` that runs along ``direction`` (L-R, A-P or I-S), by its affine."""
    return [_OF_CODE[code] for code in volume.axcodes].index(direction)
