"""Named arrays become k-space: which axis is what, and what must not be guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.headers import require_regular
from voxprior.io.kspace.file import SAMPLE_CAP, Bool, Complex, KspaceFile
from voxprior.io.names import shown

MAX_COILS = 512
NARROW, WIDE = 64, 96
"""A first axis of at least ``WIDE`` before a last axis of at most ``NARROW`` is taken for (y, x, coil)."""
MAPS_NAMES = ("maps", "s_maps", "sensitivity_maps")


@dataclass(frozen=True)
class Stored:
    """An array in a file: ``row`` reads one index of its first axis, ``whole`` all of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    row: Callable[[int], NDArray[Any]]
    whole: Callable[[], NDArray[Any]]


def from_arrays(
    kind: str,
    path: Path,
    arrays: Mapping[str, Stored],
    release: Callable[[], None] = lambda: None,
    warnings: tuple[str, ...] = (),
) -> KspaceFile:
    """The file whose ``arrays`` hold ``kspace`` (coil, y, x), (slice, coil, y, x) or (slice, coil, z, y, x).

    ``mask``, ``maps``, ``noise`` and ``affine`` may be among them. Raises :class:`InputError` when ``kspace`` is
    missing or not complex, and for any that does not fit it.
    """
    name = shown(path)
    if "kspace" not in arrays:
        raise InputError(f"{name}: holds no variable kspace, only {listed(arrays)}; save k-space under that name")
    stored = arrays["kspace"]
    slices, coils, space = kspace_axes(stored, name)
    maps = next((arrays[m] for m in MAPS_NAMES if m in arrays), None)
    return KspaceFile(
        kind,
        path,
        slices,
        coils,
        space,
        stored.row if len(stored.shape) > 3 else lambda _: stored.whole(),
        affine=as_affine(arrays["affine"].whole(), name) if "affine" in arrays else None,
        noise=as_noise(arrays["noise"].whole(), coils, name) if "noise" in arrays else None,
        maps=None if maps is None else as_maps(loaded(maps, f"{name}: maps"), slices, coils, space, name),
        mask=as_mask(arrays["mask"].whole(), space, name) if "mask" in arrays else None,
        warnings=warnings,
        release=release,
    )


def listed(arrays: Mapping[str, Stored]) -> str:
    """What a file holds, for a message: names and shapes."""
    named = [f"{name} ({' x '.join(map(str, a.shape))})" for name, a in sorted(arrays.items())]
    return ", ".join(named[:12]) + (", ..." if len(named) > 12 else "") if named else "nothing"


def loaded(stored: Stored, name: str) -> NDArray[Any]:
    """All of ``stored``; :class:`InputError` when it is larger than :data:`SAMPLE_CAP`."""
    if prod(stored.shape) > SAMPLE_CAP:
        raise InputError(f"{name}: {prod(stored.shape)} samples, at most {SAMPLE_CAP} are held; take fewer slices")
    try:
        return stored.whole()
    except MemoryError:
        raise InputError(f"{name}: do not fit into memory; take fewer slices") from None


def kspace_axes(stored: Stored, name: str) -> tuple[int, int, tuple[int, ...]]:
    """Slices, coils and space of a k-space array; :class:`InputError` for one that has other axes or is not complex."""
    shape = stored.shape
    text = " x ".join(map(str, shape))
    require_complex(stored.dtype, shape, f"{name}: kspace")
    if not 3 <= len(shape) <= 5:
        raise InputError(f"{name}: kspace has axes {text}; save it as (coil, y, x) or (slice, coil, y, x)")
    slices, (coils, *space) = (1, shape) if len(shape) == 3 else (shape[0], shape[1:])
    if min(shape) < 1 or min(space) < 2:
        raise InputError(f"{name}: kspace has axes {text}, which is no image; save it as (coil, y, x)")
    if coils > MAX_COILS or (coils >= WIDE and space[-1] <= NARROW):
        raise InputError(f"{name}: kspace ({text}) would have {coils} coils; save it as (coil, y, x), coils first")
    if coils * prod(space) > SAMPLE_CAP:
        raise InputError(f"{name}: a slice of {coils} x {text} samples is more than the {SAMPLE_CAP} that are held")
    return slices, coils, tuple(space)


def require_complex(dtype: np.dtype[Any], shape: tuple[int, ...], what: str) -> None:
    """:class:`InputError` when an array of ``dtype`` is not complex; two reals in place of a complex get a word."""
    if dtype.kind == "c":
        return
    if dtype.kind not in "iufb":
        raise InputError(f"{what} holds {dtype} objects, not numbers; save it as a plain complex array")
    for axis, part in ((-1, "[..., 0] + 1j * {0}[..., 1]"), (0, "[0] + 1j * {0}[1]")):
        if shape and shape[axis] == 2:
            word = "kspace" if what.endswith("kspace") else "x"
            side = "last" if axis else "first"
            raise InputError(
                f"{what} is stored as two reals along its {side} axis; save {word}{part.format(word)} as complex"
            )
    raise InputError(f"{what} is real ({dtype}), k-space is complex; save the data before any magnitude was taken")


def as_mask(array: NDArray[Any], space: tuple[int, ...], name: str) -> Bool:
    """``array`` as a mask of shape ``space``: of that shape, one value a column (x), or (z, x) of a 3-D space."""
    mask = np.asarray(array)
    if mask.dtype.kind not in "biufc" or not np.isfinite(mask).all():
        raise InputError(f"{name}: the mask holds {mask.dtype} or is not finite; save it as zeros and ones")
    while mask.ndim > max(1, len(space) - 1) and mask.shape[0] == 1:
        mask = mask[0]
    if mask.shape == (space[-1], 1) and space[-1] != space[-2]:  # a vector, as MATLAB stores it
        mask = mask[:, 0]
    if mask.ndim == 2 and len(space) == 3:
        mask = mask[:, np.newaxis]
    if mask.size < 2 or any(m not in (1, n) for m, n in zip(mask.shape[::-1], space[::-1], strict=False)):
        raise InputError(
            f"{name}: the mask ({' x '.join(map(str, np.shape(array)))}) does not fit k-space of "
            f"{' x '.join(map(str, space))}; give a mask of that shape, or one value a column"
        )
    keep = np.broadcast_to(mask != 0, space).copy()
    if not keep.any():
        raise InputError(f"{name}: the mask keeps no sample; give one with ones where k-space was measured")
    return keep


def as_noise(array: NDArray[Any], coils: int, name: str) -> Complex:
    """``array`` as noise (coil, samples); :class:`InputError` when it is not complex or of other coils."""
    noise = np.asarray(array)
    require_complex(noise.dtype, (), f"{name}: noise")
    if noise.ndim < 2 or noise.shape[0] != coils:
        raise InputError(f"{name}: noise has shape {noise.shape}; k-space has {coils} coils, save (coil, samples)")
    noise = noise.reshape(coils, -1).astype(np.complex64)
    if not np.isfinite(noise).all():
        raise InputError(f"{name}: noise is NaN or infinite somewhere; leave those samples out")
    return noise


def as_maps(array: NDArray[Any], slices: int, coils: int, space: tuple[int, ...], name: str) -> Complex:
    """``array`` as maps (coil, *space), (slice, coil, *space) or (slice, set, coil, *space) of this k-space."""
    shape, rank = array.shape, len(space)
    text = " x ".join(map(str, shape))
    require_complex(array.dtype, shape, f"{name}: maps")
    if not rank < len(shape) <= rank + 3:
        raise InputError(f"{name}: maps have axes {text}; save them as (coil, y, x) or (slice, coil, y, x)")
    if shape[-rank:] != space:
        raise InputError(
            f"{name}: maps of {' x '.join(map(str, shape[-rank:]))} do not fit k-space of "
            f"{' x '.join(map(str, space))} (read-out oversampling removed); make them at that size"
        )
    if shape[-rank - 1] != coils:
        raise InputError(f"{name}: maps of {shape[-rank - 1]} coils, k-space has {coils}; give maps of its coils")
    if len(shape) > rank + 1 and shape[0] not in (1, slices):
        raise InputError(f"{name}: maps of {shape[0]} slices, k-space has {slices}; give one set a slice, or one")
    if len(shape) == rank + 3 and shape[1] == 1:
        array = array[:, 0]
    if array.ndim == rank + 2 and shape[0] == 1:
        array = array[0]
    sums = [float(np.abs(array[i]).sum()) for i in np.ndindex(array.shape[:-rank])]  # piece by piece: may be mapped
    if not np.isfinite(sums).all():
        raise InputError(f"{name}: maps are NaN or infinite somewhere; set them to 0 there")
    if not any(sums):
        raise InputError(f"{name}: maps are zero everywhere; give others, or none")
    return array if array.dtype == np.complex64 else array.astype(np.complex64)


def as_affine(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """``array`` as a 4 x 4 affine; :class:`InputError` when it is none."""
    if array.dtype.kind not in "iuf" or array.shape != (4, 4):
        raise InputError(f"{name}: affine has shape {array.shape}, not 4 x 4; leave it out or repair it")
    affine = array.astype(np.float64)
    require_regular(affine, name, "affine")
    return affine
