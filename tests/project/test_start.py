"""The command answers at once."""

from __future__ import annotations

import resource
import subprocess
import sys

WORDS = ["--help", "--version", "sr --help", "recon --help", "ct --help"]


def _processor_seconds(words: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "voxprior", *words.split()], check=True, capture_output=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_appears_in_under_half_a_second() -> None:
    """Guards start-up against slow imports, in processor time, so that a busy machine does not fail it."""
    slow = {words: min(_processor_seconds(words) for _ in range(3)) for words in WORDS}
    assert max(slow.values()) < 0.5, slow
