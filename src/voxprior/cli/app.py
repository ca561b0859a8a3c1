"""The command ``voxprior``: parse, run, and end with 0, 1, 2 or 130."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cyclopts import App, CycloptsError, Parameter

import voxprior
from voxprior.cli import bids, cite, ct, describe, doctor, evaluate, generate, info, receive, recon, serve, sr, train
from voxprior.cli import demo as demo_command
from voxprior.cli import distill as distill_command
from voxprior.cli import enhance as enhance_command
from voxprior.cli import verify as verify_command
from voxprior.cli.headings import Headed
from voxprior.cli.show import warn
from voxprior.errors import InputError

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; failed, or a member of a batch did; the user can mend it; interrupted."""

app = App(
    name="voxprior",
    help="Restore three-dimensional medical scans with diffusion priors.",
    version=voxprior.__version__,
    suppress_keyboard_interrupt=False,  # the exit code is ours to choose
    default_parameter=Parameter(negative=()),  # --no-X beside --X says nothing that leaving --X out does not
)
app.command(Headed(name="sr", default_command=sr.sr))
app.command(Headed(name="recon", default_command=recon.recon))
app.command(Headed(name="ct", default_command=ct.ct))
app.command(Headed(name="enhance", default_command=enhance_command.enhance))
app.command(Headed(name="generate", default_command=generate.generate))
app.command(Headed(name="bids", default_command=bids.bids))
app.command(train.train, name="train")
app.command(distill_command.distill, name="distill")
app.command(evaluate.app, name="evaluate")
app.command(demo_command.demo, name="demo")
app.command(info.info, name="info")
app.command(cite.cite, name="cite")
app.command(describe.describe, name="describe")
app.command(verify_command.verify, name="verify")
app.command(doctor.doctor, name="doctor")
app.command(serve.serve, name="serve")
app.command(Headed(name="receive", default_command=receive.receive))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: the process's); return the exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "-v" in tokens or "--verbose" in tokens
    try:
        with _terminable():
            code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
            sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except KeyboardInterrupt:
        warn("interrupted; nothing was left half-written")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (InputError, CycloptsError) as error:
        return _tell(_one_line(error), USAGE, verbose)
    except Exception as error:
        return _tell(_failure(error), FAILED, verbose)


def _tell(line: str, code: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exc(file=sys.stderr)
    warn(f"error: {line}")
    return code


def _one_line(error: Exception) -> str:
    cause = error.__cause__
    errors = getattr(cause, "errors", None)
    if isinstance(error, CycloptsError) and callable(errors):  # a range or choice that pydantic refused
        first = errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        return f"--{name.replace('_', '-')} {first['input']}: {first['msg'][0].lower()}{first['msg'][1:]}; see --help"
    return " ".join(str(error).split())


def _failure(error: Exception) -> str:
    from voxprior.jobs.room import out_of_memory

    if out_of_memory(error):
        return "memory ran out; give a smaller --memory, a coarser --spacing, or crop the scan"
    reason = " ".join(str(error).split())
    return f"failed unexpectedly ({type(error).__name__}: {reason}); -v shows where, 'voxprior doctor' what to report"


@contextmanager
def _terminable() -> Iterator[None]:
    """Treat a request to terminate like Ctrl-C inside, so that it leaves nothing behind either."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals are not ours
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
