"""``voxprior verify``: does an output still explain its input?"""

from __future__ import annotations

from pathlib import Path

from voxprior.cli.show import say


def verify(output: Path, /, *, input: Path | None = None) -> int:
    """Check an output and its certificate against the input, from the files alone.

    Ends with 0 when all holds, 1 when something does not, 2 when a file is missing. A digest shows change; it does
    not prove who made the file.

    Parameters
    ----------
    output
        A restored image, its .json sidecar beside it.
    input
        Where the input is now, if not where the sidecar says.
    """
    from voxprior.io.certificate import verify as check

    outcome = check(output, input)
    width = max(len(line.name) for line in outcome.checks)
    for line in outcome.checks:
        say(f"{'ok  ' if line.ok else 'FAIL'}  {line.name:{width}}  stored {line.stored}  found {line.found}")
    say("verified" if outcome.ok else "NOT verified")
    return 0 if outcome.ok else 1
