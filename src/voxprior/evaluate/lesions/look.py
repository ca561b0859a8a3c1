"""Pictures to look at before the figures are believed: lesions restored, and real scans of a patient who has some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender, Resolve
from voxprior.evaluate.lesions.contenders import lesion_contenders
from voxprior.evaluate.lesions.insert import Image
from voxprior.evaluate.lesions.measure import SEED, Task
from voxprior.evaluate.lesions.protocols import EDGE, FEW, lesion_cases
from voxprior.evaluate.manifest import Row, checked, read_manifest
from voxprior.evaluate.sr.contenders import CUBIC, MEAN, sr_method
from voxprior.io.nifti import read_volume
from voxprior.jobs.cubic import cubic
from voxprior.jobs.options import SrOptions
from voxprior.jobs.slices import understand
from voxprior.jobs.sr import restore_slices

SHOWN = (12.0, 6.0, 3.0)
"""Diameters of the lesions that are drawn, mm."""
PATIENT = "openms"
"""Part of the names of scans of a patient with multiple sclerosis."""
CUTS = (0.4, 0.5, 0.6)
"""Where real scans are cut, parts of their width."""


def look(
    data: Path,
    folder: Path,
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = sr_method,
    edge: int = EDGE,
) -> list[Path]:
    """Draw one subject with lesions, and the patient's scans, into ``folder`` where no picture is yet; the new ones.

    The scans may not be redistributable, so ``folder`` should be one that version control ignores.
    """
    members = lesion_contenders() if contenders is None else contenders
    path = folder / "lesions.png"
    made = []
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        case = next(c for c in lesion_cases(data) if c.rounds == FEW)
        draw_lesions(Task.read(data, case, edge), members, resolve, path)
        made.append(path)
    for row in read_manifest(data):
        path = folder / f"{row['subject']}_{row['modality'].split()[0]}.png"
        if row["file"].startswith("real/") and PATIENT in row["subject"] and not path.exists():
            _draw_scan(data, row, path)
            made.append(path)
    return made


def draw_lesions(task: Task, contenders: Sequence[Contender], resolve: Resolve, path: Path) -> None:
    """A row for a bright and a dark lesion of each of :data:`SHOWN`, a column for the truth and each method."""
    filled = task.rounds[0]
    images: dict[str, Image] = {"truth": task.problem.truth, "with lesions": filled.truth}
    for contender in contenders:
        method = resolve(contender.method)
        options = method.Options(**contender.options)
        result = method(task.measured(filled.truth), options, SeededNoise(SEED))
        images[contender.label] = result.mean.numpy(force=True)
    thick = task.problem.slices.axis
    normal = next(axis for axis in range(3) if axis != thick)
    rows: dict[str, dict[str, Image]] = {}
    for bright in (True, False):
        for size in SHOWN:
            lesion = next((o for o in filled.lesions if o.diameter == size and (o.contrast > 0) == bright), None)
            if lesion is not None:
                at = round(float(lesion.centre[normal]))
                window = [slice(max(0, int(c) - 24), int(c) + 25) for c in lesion.centre]
                window[normal] = slice(at, at + 1)
                name = f"{size:g} mm, {'bright' if bright else 'dark'}"
                rows[name] = {k: _upright(v[tuple(window)], normal, thick) for k, v in images.items()}
    _draw(rows, path, f"{task.case.name}; slices are thick from top to bottom", task.problem.range)


def _draw_scan(data: Path, row: Row, path: Path) -> None:
    volume = read_volume(checked(data, row["file"], row["sha256"]))
    given = SrOptions()
    geometry = understand(volume, given)
    images = {
        "slices": np.repeat(volume.data, max(1, round(geometry.spacing / geometry.fine_spacing)), geometry.axis),
        CUBIC: cubic(volume, geometry).data,
        MEAN: restore_slices(volume, given).image.data,
    }
    normal = next(axis for axis in range(3) if axis != geometry.axis)
    rows = {}
    for part in CUTS:
        at = int(part * volume.data.shape[normal])
        cut = tuple(slice(at, at + 1) if axis == normal else slice(None) for axis in range(3))
        rows[f"{part:g}"] = {name: _upright(image[cut], normal, geometry.axis) for name, image in images.items()}
    _draw(rows, path, row["subject"], float(np.percentile(volume.data, 99.9)))


def _upright(piece: Image, normal: int, thick: int) -> Image:
    flat: Image = np.squeeze(piece, axis=normal)
    return flat[::-1] if thick < 3 - normal - thick else flat.T[::-1]


def _draw(rows: Mapping[str, Mapping[str, Image]], path: Path, title: str, high: float) -> None:
    columns = list(next(iter(rows.values())))
    figure = Figure(figsize=(3 * len(columns), 2.6 * len(rows) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for place, column in zip(line, columns, strict=True):
            place.imshow(images[column], cmap="gray", vmin=0, vmax=high, aspect="auto", interpolation="nearest")
            place.set(xticks=[], yticks=[], title=column)
        line[0].set_ylabel(name)
    figure.savefig(path, dpi=90)
