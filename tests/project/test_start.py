"""The command answers at once."""

from __future__ import annotations

import resource
import subprocess
import sys

WORDS = ["--help", "--version", "sr --help", "recon --help", "ct --help"]


LIBRARIES = ["-c", "import cyclopts, pydantic, rich.markdown"]
"""What the command line stands on: on a slow or busy machine this takes longer, and so may the help."""


def _processor_seconds(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, capture_output=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_appears_in_under_half_a_second() -> None:
    """Guards start-up against slow imports, in processor time: half a second, or four times the libraries alone."""
    libraries = min(_processor_seconds(LIBRARIES) for _ in range(3))
    slow = {words: min(_processor_seconds(["-m", "voxprior", *words.split()]) for _ in range(3)) for words in WORDS}
    assert max(slow.values()) < max(0.5, 4 * libraries), slow
