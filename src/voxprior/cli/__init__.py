"""The command line: it parses, calls a job, and shows; no mathematics."""

from __future__ import annotations


def main() -> int:
    """Run the command line of this process; return the exit code."""
    from voxprior.cli.app import main as run

    return run()
