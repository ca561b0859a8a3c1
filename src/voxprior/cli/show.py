"""Lines for the user: results to stdout, all else to stderr."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """A line of result."""
    sys.stdout.write(_encodable(text, sys.stdout.encoding) + "\n")


def warn(text: str) -> None:
    """A line about the run, in the name of the program."""
    sys.stderr.write(_encodable(f"voxprior: {text}", sys.stderr.encoding) + "\n")


def _encodable(text: str, encoding: str | None) -> str:
    """``text`` with what the terminal cannot show escaped: a strange file name must not end a run."""
    code = encoding or "ascii"
    return text.encode(code, "backslashreplace").decode(code)
