"""Which blocks the samplers are compared on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from voxprior.evaluate.sr.protocols import Case, sr_cases

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
EDGE = 64
"""Of the block, voxels."""
CENTRE = 3
"""Number of the block in the middle of the head, see :func:`voxprior.evaluate.sr.degrade.block`."""
BLOCKS = 2


def sampler_cases(data: Path) -> list[Case]:
    """x5 box slices of a block in the middle of the first test subject of each group, two groups at most.

    Raises :class:`InputError` without test subjects.
    """
    first: dict[str, Case] = {}
    for case in sr_cases(data):
        if case.crop:
            first.setdefault(case.group, replace(case, crop=CENTRE))
    return list(first.values())[:BLOCKS]
