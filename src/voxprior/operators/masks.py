"""Which samples of k-space are measured: by name, from a file, or read off the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.operators import sampling
from voxprior.operators.mask_files import SUFFIXES, read_array
from voxprior.operators.sampling import Bool

FAMILIES: Mapping[str, str] = {
    "uniform": "every R-th phase-encoding line outside the ACS lines",
    "equispaced": "another name of uniform",
    "random-uniform": "N/R lines: the ACS lines, and others at random",
    "cartesian": "N/R lines: the ACS lines, and others at random, denser near the centre",
    "gaussian-1d": "N/R lines: the ACS lines, and others with Gaussian density",
    "low-frequency": "the ACS lines alone; with 0 ACS lines the central N/R",
    "center": "the central square of ACS by ACS; with 0 ACS a side of N/R",
    "random": "points at random, and the central square of ACS by ACS",
    "gaussian-2d": "points with Gaussian density, and the central square of ACS by ACS",
    "poisson": "points at a distance that grows from the centre, in an ellipse, and the central square of ACS by ACS",
    "radial": "grid points along spokes at golden angles, and the central square of ACS by ACS",
}
"""Name of each family to one line about it. R: nominal acceleration; lines run along the first axis of a slice."""
LINES = ("uniform", "equispaced", "random-uniform", "cartesian", "gaussian-1d", "low-frequency")
"""The families that keep whole lines."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Measured samples ``keep`` (*space), with how they were chosen; ``nominal`` acceleration as its name says it."""

    keep: Bool
    name: str
    nominal: float | None = None
    acs: int | None = None
    seed: int | None = None

    @property
    def acceleration(self) -> float:
        """Samples of the grid over measured samples: the true acceleration."""
        return self.keep.size / int(self.keep.sum())

    @property
    def lines(self) -> int | None:
        """The one axis along which the mask changes, or None if there are several or none."""
        changing = [a for a in range(self.keep.ndim) if (self.keep != self.keep.take([0], a)).any()]
        return changing[0] if len(changing) == 1 else None


def make_mask(name: str, shape: tuple[int, int], acceleration: float | None, acs: int, seed: int = 0) -> Mask:
    """Mask of a family of :data:`FAMILIES` for slices (y, x); lines run along y and are counted along x.

    ``acceleration``: the nominal one, 1 or more, or None where ACS alone says all. ``acs``: central lines, or side of
    the central square. Raises :class:`InputError` for an unknown name or a pair that cannot be.
    """
    if name not in FAMILIES:
        raise InputError(f"mask {name} is unknown; give one of {', '.join(FAMILIES)}")
    room = shape[1] if name in LINES else min(shape)
    if not 0 <= acs <= room:
        raise InputError(f"mask {name}: {acs} ACS lines of {' x '.join(map(str, shape))}; give 0 to {room}")
    sized = name in ("low-frequency", "center") and acs > 0
    if sized:
        acceleration = None
    elif acceleration is None or not (math.isfinite(acceleration) and acceleration >= 1):
        raise InputError(f"mask {name}: acceleration {acceleration}; give a number from 2 to 48")
    rng = np.random.Generator(np.random.Philox(seed))
    keep = _lines(name, shape[1], acceleration, acs, rng)
    keep = np.broadcast_to(keep, shape).copy() if keep is not None else _points(name, shape, acceleration, acs, rng)
    if not keep.any():
        raise InputError(f"mask {name}: acceleration {acceleration:g} leaves nothing of {shape}; give a smaller one")
    return Mask(keep, name, acceleration, acs, seed)


def parse_mask(text: str, shape: tuple[int, int], seed: int = 0) -> Mask:
    """Mask from ``NAME:R:ACS`` (``uniform:8:24``, ``low-frequency::16``) or a file that :func:`read_mask` reads."""
    if Path(text).suffix.lower() in SUFFIXES:
        return read_mask(Path(text), shape)
    name, *numbers = text.split(":")
    try:
        if len(numbers) > 2:
            raise ValueError
        acceleration = float(numbers[0]) if numbers and numbers[0] else None
        acs = int(numbers[1]) if len(numbers) > 1 and numbers[1] else 0
    except ValueError:
        kinds = ", ".join(SUFFIXES)
        raise InputError(f"mask {text}; give NAME:R:ACS such as uniform:8:24, or a file {kinds}") from None
    return make_mask(name, shape, acceleration, acs, seed)


def detect_mask(kspace: NDArray[Any]) -> Mask:
    """The mask of k-space (coil, *space): a sample is measured where any coil is not zero."""
    keep = np.asarray((kspace != 0).any(axis=0))
    if not keep.any():
        raise InputError("the k-space is zero everywhere: nothing was measured; give another file or slice")
    return Mask(keep, "data")


def read_mask(path: Path, shape: tuple[int, ...]) -> Mask:
    """Mask from an npy, cfl or mat file (its array ``mask``); what is not zero is measured, zero frequency at n // 2.

    ``shape``: of the k-space. A file may hold lines alone, (x,). Raises :class:`InputError` for another grid, an empty
    mask, values that are not finite, or a file that cannot be read.
    """
    values = read_array(path)
    lines = values.size == shape[-1] and max(values.shape, default=0) == shape[-1]
    if values.shape != shape and lines:
        values = np.broadcast_to(values.reshape(shape[-1]), shape)
    if values.shape != shape:
        raise InputError(f"mask {path} is {values.shape} and the k-space {shape}; give a mask of the same grid")
    if not np.isfinite(values).all():
        raise InputError(f"mask {path} holds values that are not finite; save it as zeros and ones")
    keep = np.asarray(values != 0)
    if not keep.any():
        raise InputError(f"mask {path} is zero everywhere; save it as zeros and ones, ones where measured")
    return Mask(keep, path.name)


def _lines(name: str, n: int, acceleration: float | None, acs: int, rng: np.random.Generator) -> Bool | None:
    """Kept lines of the families of lines, else None."""
    if name == "low-frequency":
        return sampling.central(n, acs if acceleration is None else int(n / acceleration))
    if acceleration is None:
        return None
    if name in ("uniform", "equispaced"):
        return sampling.comb(n, acceleration, acs)
    weights = {
        "random-uniform": np.ones(n),
        "cartesian": sampling.density(n, acceleration),
        "gaussian-1d": sampling.gaussian(n),
    }
    if name not in weights:
        return None
    count = int(n / acceleration)
    if count < acs:
        raise InputError(
            f"mask {name}: acceleration {acceleration:g} keeps {count} of {n} lines, fewer than {acs} ACS lines; "
            f"give an acceleration of at most {n / max(acs, 1):.3g}, or fewer ACS lines"
        )
    return sampling.weighted(weights[name], sampling.central(n, acs), count, rng)


def _points(
    name: str, shape: tuple[int, int], acceleration: float | None, acs: int, rng: np.random.Generator
) -> Bool:
    """Kept points of the families of points."""
    if name == "center":
        sides = (acs, acs) if acceleration is None else (int(shape[0] / acceleration), int(shape[1] / acceleration))
        return sampling.square(shape, sides)
    assert acceleration is not None
    fixed = sampling.square(shape, (acs, acs))
    count = round(shape[0] * shape[1] / acceleration)
    if count < acs**2:
        raise InputError(
            f"mask {name}: acceleration {acceleration:g} keeps {count} points, fewer than {acs} x {acs} ACS points; "
            "give a smaller acceleration or fewer ACS points"
        )
    if name == "poisson":
        keep = sampling.poisson_disc(shape, count, fixed, rng)
        if keep.sum() < count:
            raise InputError(f"mask poisson: its ellipse holds {keep.sum()} points, not {count}; give 1.3 or more")
        return keep
    if name == "radial":
        return sampling.radial(shape, count, fixed, rng)
    weights = np.ones(shape) if name == "random" else np.outer(*(sampling.gaussian(n) for n in shape))
    return sampling.weighted(weights, fixed, count, rng)
