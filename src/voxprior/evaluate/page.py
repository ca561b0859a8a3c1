"""The page of results, a part a job: written from the JSON lines and never by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from voxprior.evaluate.store import Store

PARTS: Mapping[str, str] = {
    "sr": "voxprior.evaluate.sr.tables",
    "enhance": "voxprior.evaluate.enhance.tables",
    "one-step": "voxprior.evaluate.one_step.tables",
    "recon": "voxprior.evaluate.recon.tables",
    "ct": "voxprior.evaluate.ct.tables",
    "samplers": "voxprior.evaluate.samplers.tables",
    "generate": "voxprior.evaluate.generate.tables",
    "ood": "voxprior.evaluate.ood.tables",
    "trust": "voxprior.evaluate.trust",
}
"""Job to the module that writes its part: ``part(folder)`` gives Markdown below a heading of level 2, or nothing."""

RESULTS = Path("docs/results")
"""Folder of the figures: ``JOB.jsonl`` of the command, ``JOB-peers.jsonl`` of other tools, from ``benchmarks/``, and
``JOB-notes.md``, the remarks of somebody who looked at pictures, as sections of level 3."""
PAGE = Path("docs/results.md")

_HEAD = """# Results

Written by `voxprior evaluate`, never by hand; [how it is measured](evaluation.md). Test subjects were never trained or
tuned on. A mean is over subjects: what was measured several times in one subject is averaged first. A 95 % interval in
brackets is a bootstrap over subjects.
"""


def write_page(page: Path, folder: Path) -> None:
    """Write ``page`` whole from what ``folder`` holds of every job."""
    parts = [import_module(module).part(folder) for module in PARTS.values()]
    text = "\n".join([_HEAD, *(part for part in parts if part)])
    page.parent.mkdir(parents=True, exist_ok=True)
    temporary = page.with_name(page.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, page)


def results(folder: Path, job: str) -> Store:
    """The results of ``job``."""
    return Store(folder / f"{job}.jsonl")


def peers(folder: Path, job: str) -> Store:
    """The results of other tools on the cases of ``job``."""
    return Store(folder / f"{job}-peers.jsonl")


def remarks(folder: Path, job: str) -> str:
    """What somebody saw in the pictures of ``job``, or nothing."""
    notes = folder / f"{job}-notes.md"
    return notes.read_text(encoding="utf-8").strip() if notes.exists() else ""
