"""The part of the page about trust: what restorations do to lesions, to phantoms, and to measurements after them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

PARTS = (
    "voxprior.evaluate.lesions.tables",
    "voxprior.evaluate.bench.tables",
    "voxprior.evaluate.downstream.tables",
    "voxprior.evaluate.coverage.tables",
)
"""Modules whose ``part(folder)`` gives sections of level 3, or nothing."""

_HEAD = """## Trust

`voxprior evaluate lesions --data DIR`, `voxprior evaluate bench`, `voxprior evaluate downstream --data DIR` and
`voxprior evaluate coverage --data DIR`; [how each is done](evaluation.md#trust).
"""


def part(folder: Path) -> str:
    """The part of the page, from what lies in ``folder``; empty without results."""
    parts = [text for module in PARTS if (text := import_module(module).part(folder))]
    return "\n".join([_HEAD, *parts]) if parts else ""
