"""``voxprior evaluate``: measure methods on scans whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from voxprior.cli.evaluate_trust import Only, bench, coverage, downstream, lesions, ood
from voxprior.cli.show import say, warn
from voxprior.errors import InputError

app = App(name="evaluate", help="Measure methods on scans whose truth is known.")


@app.command
def sr(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
) -> int:
    """Measure through-plane restoration; goes on where an earlier run ended.

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
    from voxprior.evaluate.sr.run import evaluate_sr

    made = evaluate_sr(data, out, page, only)
    say(f"{len(made)} new results; tables in {page}")
    return 0


@app.command
def enhance(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
) -> int:
    """Measure refinement in plane and a simulated weak field; goes on where an earlier run ended.

    Parameters
    ----------
    data
        Folder with manifest.csv and its scans.
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    only
        Words that must all occur in SUBJECT KIND DIRECTIONS METHOD.
    """
    from voxprior.evaluate.enhance.run import evaluate_enhance

    made = evaluate_enhance(data, out, page, only)
    say(f"{len(made)} new results; tables in {page}")
    return 0


@app.command(name="one-step")
def one_step(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
) -> int:
    """Measure one step against many steps on blocks of thick slices; goes on where an earlier run ended.

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
    from voxprior.evaluate.one_step.run import evaluate_one_step

    made = evaluate_one_step(data, out, page, only)
    say(f"{len(made)} new results; tables in {page}")
    return 0


@app.command
def recon(
    *,
    data: Path | None = None,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    pictures: Path = Path("runs/pictures"),
    only: Only = (),
    reconstructions: Path | None = None,
    references: Path | None = None,
    csv: Path | None = None,
    figure: Path | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
) -> int:
    """Measure reconstruction from k-space, going on where an earlier run ended; or a folder of images.

    With --data, all methods reconstruct its test scans. With --reconstructions and --references, images are compared
    by name.

    Parameters
    ----------
    data
        Folder with manifest.csv and its scans.
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    pictures
        Folder for pictures of scans without a truth; what is there is kept.
    only
        Words that must all occur in SUBJECT KIND DIRECTION METHOD.
    reconstructions
        Folder of reconstructed images: .h5 as fastMRI's, .npz, .cfl, .nii, .nii.gz.
    references
        Folder of fully sampled images of the same names.
    csv
        Table of the folder to write.
    figure
        Picture of the folder to write: .png, .svg or .pdf.
    force
        Replace files that exist.
    quiet
        Show no progress bar.
    """
    if (data is None) == (reconstructions is None) or (reconstructions is None) != (references is None):
        raise InputError("give --data, or --reconstructions and --references")
    if reconstructions is not None and references is not None:
        return _folder(reconstructions, references, csv, figure, force, quiet)
    if csv is not None or figure is not None:
        raise InputError("--csv and --figure belong to --reconstructions; the tables of --data go to --page")
    assert data is not None
    from voxprior.evaluate.recon.look import look
    from voxprior.evaluate.recon.run import evaluate_recon

    made = evaluate_recon(data, out, page, only)
    drawn = [] if only else look(data, pictures)
    say(f"{len(made)} new results; tables in {page}" + (f"; {len(drawn)} pictures in {pictures}" if drawn else ""))
    return 0


@app.command
def ct(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
) -> int:
    """Measure reconstruction from few X-ray views; goes on where an earlier run ended.

    Parameters
    ----------
    data
        Folder with manifest.csv and its scans.
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    only
        Words that must all occur in SUBJECT KIND METHOD.
    """
    from voxprior.evaluate.ct.run import evaluate_ct

    made = evaluate_ct(data, out, page, only)
    say(f"{len(made)} new results; tables in {page}")
    return 0


@app.command
def samplers(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
    tpdm_steps: Annotated[tuple[int, ...], Parameter(negative="")] = (200,),
) -> int:
    """Compare samplers on a block of thick slices; goes on where an earlier run ended.

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
    tpdm_steps
        Noise levels of TPDM, each a row; the published 2000 take more than an hour.
    """
    from voxprior.evaluate.samplers.run import evaluate_samplers

    made = evaluate_samplers(data, out, page, only, tpdm_steps)
    say(f"{len(made)} new results; tables in {page}")
    return 0


@app.command
def generate(
    *,
    data: Path,
    out: Path = Path("docs/results"),
    page: Path = Path("docs/results.md"),
    only: Only = (),
    edge: int = 64,
) -> int:
    """Compare generated volumes with those that the prior was trained on; goes on where an earlier run ended.

    Parameters
    ----------
    data
        Folder with manifest.csv and its scans.
    out
        Folder for the figures of each case.
    page
        Markdown page of tables to write.
    only
        Words that must all occur in KIND SEED METHOD.
    edge
        Voxels along each side of a volume.
    """
    from voxprior.evaluate.generate.run import evaluate_generate

    made = evaluate_generate(data, out, page, only, edge)
    say(f"{len(made)} new results; tables in {page}")
    return 0


for command in (ood, lesions, bench, downstream, coverage):
    app.command(command)


def _folder(
    reconstructions: Path, references: Path, csv: Path | None, figure: Path | None, force: bool, quiet: bool
) -> int:
    """Score a folder; 1 when a member failed."""
    import numpy as np

    from voxprior.cli.progress import watch
    from voxprior.evaluate.recon.figure import draw_scores
    from voxprior.evaluate.recon.folders import score_folder, write_csv
    from voxprior.io.transaction import Transaction

    with Transaction(force) as outputs:
        outputs.check([path for path in (csv, figure) if path is not None])
        with watch(quiet)("recon") as progress:
            rows, failed = score_folder(reconstructions, references, progress, warn)
        if rows and csv is not None:
            with outputs.path(csv).open("w", newline="", encoding="utf-8") as stream:
                write_csv(stream, rows)
        if rows and figure is not None:
            draw_scores(rows, outputs.path(figure))
    for name, unit in (("psnr", " dB"), ("ssim", ""), ("nmse", "")):
        values = [getattr(row, name) for row in rows]
        if values:
            say(f"{name.upper()} {np.mean(values):.4f}{unit} (mean of {len(values)}, median {np.median(values):.4f})")
    if failed:
        warn(f"{len(failed)} of {len(rows) + len(failed)} failed: {', '.join(failed)}")
    return 1 if failed else 0
