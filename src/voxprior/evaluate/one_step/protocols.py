"""Which blocks are thickened how: the centre of every test subject, as near to 128^3 as it is large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from voxprior.evaluate.sr.protocols import Case, sr_cases

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
EDGE = 128
"""Voxels of a block along each axis; a smaller head gives what it has."""
FACTORS = (4, 8)
CENTRE = 3
"""The number of the block at the centre."""
LONG = "ds002748_sub-70"
"""The subject that the teacher's 1000 steps are measured on, at x4."""


def one_step_cases(data: Path) -> list[Case]:
    """The centre block of every subject of the ``test`` split, x4 and x8, slab means without a gap.

    Raises :class:`InputError` without such subjects.
    """
    found: dict[str, Case] = {}
    for case in sr_cases(data):
        found.setdefault(case.subject, replace(case, crop=CENTRE, repeats=1))
    return [replace(case, factor=factor) for case in found.values() for factor in FACTORS]


def subjects_of(cases: Sequence[Case]) -> list[str]:
    """Subjects, in order."""
    return list(dict.fromkeys(case.subject for case in cases))
