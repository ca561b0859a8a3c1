"""The job for k-space that is in memory: numpy arrays and tensors, returned as what they came as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from voxprior.errors import InputError
from voxprior.io.kspace.arrays import Stored, from_arrays
from voxprior.jobs.acquire import acquire, receiver
from voxprior.jobs.job import part_of, together
from voxprior.jobs.options import ReconOptions, require_method
from voxprior.jobs.recon import reconstruct_slice, reconstruct_stack
from voxprior.jobs.recon_request import asked_mask, maps_of, resolved, sampling
from voxprior.jobs.recon_stack import Stack
from voxprior.jobs.sidecar import sidecar
from voxprior.methods.result import Progress
from voxprior.report.kspace_preview import kspace_preview
from voxprior.report.notebook import Shown

Wrap = Callable[[NDArray[Any]], Any]


@dataclass(frozen=True, eq=False, repr=False)
class Reconstruction(Shown):
    """An image from k-space and its maps, each of the kind that was given, and the values of its sidecar.

    ``image`` ([slice,] y, x) complex, on the scale where sum |maps|^2 is 1; ``std`` of a real component; ``interval``:
    lower and upper bound of 90 % of the magnitude; ``invented``: what the data do not determine, complex; ``maps``
    ([slice,] coil, y, x) and ``mask``: of the operator. ``picture``: makes the preview, a PNG, which a notebook shows.
    """

    image: Any
    std: Any | None
    interval: tuple[Any, Any] | None
    invented: Any
    samples: tuple[Any, ...]
    maps: Any
    mask: Any
    sidecar: Mapping[str, Any]
    picture: Callable[[], bytes]


def reconstruct(
    kspace: NDArray[Any] | torch.Tensor,
    *,
    maps: NDArray[Any] | torch.Tensor | None = None,
    mask: str | NDArray[Any] | torch.Tensor | None = None,
    noise_scan: NDArray[Any] | torch.Tensor | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Reconstruction:
    """Reconstruct centred ``kspace`` (coil, y, x) or (slice, coil, y, x), as ``voxprior recon`` does.

    ``maps`` (coil, y, x) or (slice, coil, y, x), in any scale: ESPIRiT finds them by default. ``mask``: what was
    measured (y, x), by default what is not zero; a text such as ``uniform:8:24`` undersamples. ``noise_scan`` (coil,
    samples). ``options``: those of the command. Raises :class:`InputError` for what a user can mend.
    """
    try:
        parsed = ReconOptions(**{**options, **({"mask": mask} if isinstance(mask, str) else {})})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"option {where}: {first['msg']}; see voxprior recon --help") from None
    require_method("recon", parsed)
    given = {"kspace": kspace, "maps": maps, "mask": None if isinstance(mask, str) else mask, "noise": noise_scan}
    arrays = {name: _array(value) for name, value in given.items() if value is not None}
    file = from_arrays("memory", Path("k-space"), {name: _stored(array) for name, array in arrays.items()})
    settings = resolved(parsed, False)
    wanted, coils = asked_mask(settings, file), receiver(file.noise, settings)
    measured = []
    for index in range(file.slices):
        data = file.read(index)
        used, absent = sampling(file, wanted, data, index)
        measured.append((acquire(data, used, maps_of(file.maps, file, index), coils, settings), data, absent))
    acquired, stack = [one for one, _, _ in measured], Stack(file)
    if file.slices > 1 and together("recon", settings.method):
        found = reconstruct_stack(acquired, settings, file.affine, False, progress)
        for one, (_, data, absent) in zip(found, measured, strict=True):
            stack.add(one, data, absent)
    else:
        for index, (own, data, absent) in enumerate(measured):
            place = file.affine, part_of(progress, index, file.slices), index, file.slices, stack.scale
            stack.add(reconstruct_slice(own, settings, *place), data, absent)
    return _given(stack, [one.maps for one in acquired], settings, _wrapper(kspace))


def _given(stack: Stack, maps: list[NDArray[Any]], options: ReconOptions, wrap: Wrap) -> Reconstruction:
    bounds, std = stack.interval, stack.std
    values = sidecar("recon", stack, options, stack.certificate)
    values["acceleration"] = stack.acceleration
    return Reconstruction(
        image=wrap(stack.image),
        std=None if std is None else wrap(std),
        interval=None if bounds is None else (wrap(bounds[0]), wrap(bounds[1])),
        invented=wrap(stack.invented),
        samples=tuple(wrap(sample) for sample in stack.samples),
        maps=wrap(maps[0] if len(maps) == 1 else np.stack(maps)),
        mask=wrap(stack.mask),
        sidecar=values,
        picture=lambda: kspace_preview(*stack.pictures),
    )


def _array(value: Any) -> NDArray[Any]:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _stored(array: NDArray[Any]) -> Stored:
    return Stored(array.shape, array.dtype, lambda index: array[index], lambda: array)


def _wrapper(like: Any) -> Wrap:
    """How to make an array of the kind of ``like``."""
    if isinstance(like, torch.Tensor):
        device = like.device
        return lambda array: torch.from_numpy(np.array(array)).to(device)
    return np.array
