"""Folders of pairs: a measured, coarse volume and the true, fine one of the same place, under one file name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.headers import Claim
from voxprior.io.names import IMAGE_SUFFIXES, shown
from voxprior.training.sources.scan import Scan, stem

NAME = "pairs"
MEASURED = {"high": "low", "high_res": "low_res", "high-res": "low-res", "highres": "lowres", "hr": "lr"}
"""Folder of true volumes, in lower case, and the one beside it of measured volumes."""
ANGLE = np.cos(np.radians(1.0))
"""Axes that are further apart do not point the same way."""
_LABEL = re.compile(r"sub-[0-9A-Za-z]+")


def recognise(path: Path, parts: tuple[str, ...]) -> Scan | None:
    """The true volume of a pair; a measured one is known by its partner, and is no scan of its own."""
    for depth in range(len(parts) - 1, 1, -1):
        low = MEASURED.get(parts[depth - 1].lower())
        beside = None if low is None else _beside(path.parents[len(parts) - 1 - depth], low)
        if beside is None:
            continue
        below = parts[depth:]
        label = _LABEL.match(stem(below[-1]))
        subject = label[0] if label else stem(below[0])
        return Scan(path, subject, stem(below[-1]), "pair", NAME, measured=_partner(beside, below))
    return None


def is_measured(parts: tuple[str, ...]) -> bool:
    """Whether a file lies in a folder for measured volumes."""
    return any(part.lower() in MEASURED.values() for part in parts[:-1])


def require_one_place(measured: Claim, true: Claim, path: Path) -> None:
    """:class:`InputError`, with the name of ``path``, unless both headers show one place and ``true`` is the finer.

    Directions within a degree; the centres within half a measured voxel, and the lengths within one, along each axis.
    """
    name = shown(path)
    steps, fine = _steps(measured.affine), _steps(true.affine)
    order = _matching(measured.affine[:3, :3] / steps, true.affine[:3, :3] / fine)
    if order is None:
        raise InputError(f"{name}: the axes of the pair point in different directions; resample one of them")
    length, true_length = np.array(measured.shape) * steps, (np.array(true.shape) * fine)[order]
    if (np.abs(length - true_length) > steps * (1 + 1e-6)).any():
        text = " x ".join(f"{n:.4g}" for n in length), " x ".join(f"{n:.4g}" for n in true_length)
        raise InputError(f"{name}: measured, it spans {text[0]} mm by its affine, the true one {text[1]}; mend one")
    ratio = steps / fine[order]
    if (ratio < 1 - 1e-3).any() or (ratio < 1 + 1e-3).all():
        raise InputError(f"{name}: the measured volume is not coarser than the true one; swap or resample them")
    apart = (measured.affine[:3, :3] / steps).T @ (_centre(measured) - _centre(true))
    if (np.abs(apart) > steps / 2 * (1 + 1e-6)).any():
        raise InputError(f"{name}: the middles of the pair are {np.linalg.norm(apart):.3g} mm apart; mend an affine")


def _beside(high: Path, low: str) -> Path | None:
    """The folder beside ``high`` that is called ``low``, in any case."""
    return next((p for p in sorted(high.parent.iterdir()) if p.name.lower() == low and p.is_dir()), None)


def _partner(folder: Path, below: tuple[str, ...]) -> Path:
    """The measured volume of the same name, compressed or not; where there is none, what it should be called."""
    place = folder.joinpath(*below)
    others = (place.with_name(stem(place.name) + suffix) for suffix in IMAGE_SUFFIXES)
    return next((p for p in (place, *others) if p.is_file()), place)


def _steps(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voxel sizes of ``affine`` (4 x 4), mm, (3,)."""
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0))


def _matching(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """For each column of ``one`` (3 x 3) that of ``two`` on the same line, either way; None where there is none."""
    cosines = np.abs(one.T @ two)
    order = cosines.argmax(axis=1)
    return order if (cosines.max(axis=1) >= ANGLE).all() and len(set(order)) == 3 else None


def _centre(claim: Claim) -> NDArray[np.float64]:
    """The middle of a volume in patient space, mm."""
    middle: NDArray[np.float64] = (claim.affine @ np.append((np.array(claim.shape) - 1) / 2, 1.0))[:3]
    return middle
