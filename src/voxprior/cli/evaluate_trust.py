"""``voxprior evaluate``: the measurements of trust, from unfamiliar inputs to the coverage of intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from voxprior.cli.show import say
from voxprior.errors import InputError

JOBS = ("sr", "enhance", "recon")
"""Those that warn of what they do not know."""
Only = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]


def ood(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
    job: Literal["sr", "enhance", "recon"] | None = None,
    weights: str | None = None,
    calibrate: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Tell scans from what the weights do not know; goes on where an earlier run ended.

    Parameters
    ----------
    data
        Folder with manifest.csv and its scans.
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    only
        Words that must all occur in KIND SUBJECT xFACTOR, or in JOB KIND SUBJECT xFACTOR CAUSE and JOB KIND SUBJECT
        FILE MASK.
    job
        One of the jobs that warn; by default all.
    weights
        Bundled name or a .safetensors file of one --job; by default its own.
    calibrate
        Set the threshold on the training split instead, and write it into the card of the weights.
    """
    if weights is not None and job is None:
        raise InputError("--weights are those of one job; name it with --job")
    jobs = JOBS if job is None else (job,)
    if calibrate:
        if only:
            raise InputError("--only does not go with --calibrate; the threshold is that of all training scans")
        from voxprior.evaluate.ood.calibrate import calibrate as set_threshold

        for one in jobs:
            for kind, known in set_threshold(data, weights, say, one).items():
                told = f"threshold {known.threshold:.2f} from {known.subjects} subjects"
                say(f"{' '.join(filter(None, (one, kind)))}: {told}, written into the card of the weights")
        return 0
    from voxprior.evaluate.ood.run import evaluate_ood

    made = evaluate_ood(data, out, page, only, weights, say, jobs)
    say(f"{len(made)} new results; tables in {page}")
    return 0


def lesions(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    pictures: Path = Path("runs/pictures"),
    only: Only = (),
) -> int:
    """Put lesions into test scans and see what comes back of them; goes on where an earlier run ended.

    Parameters
    ----------
    data
        Folder with manifest.csv and its scans.
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    pictures
        Folder for pictures of lesions, and of scans of a patient who has some; what is there is kept.
    only
        Words that must all occur in SUBJECT KIND DIRECTION METHOD.
    """
    from voxprior.evaluate.lesions.look import look
    from voxprior.evaluate.lesions.run import evaluate_lesions

    made = evaluate_lesions(data, out, page, only)
    drawn = [] if only else look(data, pictures)
    say(f"{len(made)} new results; tables in {page}" + (f"; {len(drawn)} pictures in {pictures}" if drawn else ""))
    return 0


def bench(
    *,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
) -> int:
    """Measure resolution, noise and low contrast on phantoms; goes on where an earlier run ended.

    Parameters
    ----------
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    only
        Words that must all occur in KIND METHOD.
    """
    from voxprior.evaluate.bench.run import evaluate_bench

    made = evaluate_bench(out, page, only)
    say(f"{len(made)} new results; tables in {page}")
    return 0


def downstream(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
) -> int:
    """Measure volumes of tissue in restored scans; goes on where an earlier run ended.

    Parameters
    ----------
    data
        Folder with manifest.csv and its scans.
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    only
        Words that must all occur in SUBJECT KIND DIRECTION METHOD.
    """
    from voxprior.evaluate.downstream.run import evaluate_downstream

    made = evaluate_downstream(data, out, page, only)
    say(f"{len(made)} new results; tables in {page}")
    return 0


def coverage(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
    calibrate: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Count what intervals hold of the truth; goes on where an earlier run ended.

    Parameters
    ----------
    data
        Folder with manifest.csv and its scans.
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    only
        Words that must all occur in SUBJECT KIND EDGE DIRECTIONS LABEL; with --calibrate, in JOB LABEL.
    calibrate
        Find the factors of the intervals on the subjects with role calibrate instead, and write them into the cards.
    """
    if calibrate:
        from voxprior.evaluate.coverage.calibrate import calibrate as widen

        for weights, kinds in widen(data, only, report=say).items():
            say(f"{', '.join(kinds)}: written into the card of {weights}")
        return 0
    from voxprior.evaluate.coverage.run import evaluate_coverage

    made = evaluate_coverage(data, out, page, only, report=say)
    say(f"{len(made)} new results; tables in {page}")
    return 0
