"""Pictures of slices without a truth, to be looked at by somebody who knows what a slice looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender, Resolve
from voxprior.evaluate.recon.acquire import Problem, acquire, undersample
from voxprior.evaluate.recon.contenders import LONG, MANY, recon_contenders, recon_method
from voxprior.evaluate.recon.figure import Looked, draw_slices
from voxprior.evaluate.recon.measure import SEED, score
from voxprior.evaluate.recon.protocols import Case, undersampled_cases

LOOKED_AT = ("sense", "tv", LONG, MANY)


def look(
    data: Path,
    folder: Path,
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = recon_method,
) -> list[Path]:
    """Draw every case without a truth into ``folder``, where there is no picture of it yet; returns the new ones.

    The scans may not be redistributable, so ``folder`` should be one that version control ignores.
    """
    members = [c for c in recon_contenders() if c.label in LOOKED_AT] if contenders is None else contenders
    made = []
    for case in undersampled_cases(data):
        path = folder / f"{case.subject}.png"
        if path.exists():
            continue
        problem = undersample(acquire(data, case), case)
        folder.mkdir(parents=True, exist_ok=True)
        shown = [_look(case, contender, problem, resolve) for contender in members]
        title = f"{case.subject}: {len(problem.y)} coils, true acceleration {problem.mask.acceleration:.1f}"
        draw_slices(title, shown, path)
        made.append(path)
    return made


def _look(case: Case, contender: Contender, problem: Problem, resolve: Resolve) -> Looked:
    method = resolve(contender.method)
    measurement = problem.measurement()
    result = method(measurement, method.Options(**contender.options), SeededNoise(SEED))
    x = result.mean.detach().cpu().to(torch.complex64)
    unexplained = measurement.operator.adjoint(measurement.y - measurement.operator.apply(x[None]))[0].abs().numpy()
    std = None if result.std is None else result.std.detach().cpu().numpy()
    caption = f"residual {score(x, problem)['residual']:.3f}"
    return Looked(contender.label, x.abs().numpy(), std, unexplained, caption)
