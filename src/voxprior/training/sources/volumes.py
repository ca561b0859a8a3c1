"""Training volumes that are read when they are drawn; so many are kept in memory and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.headers import Claim
from voxprior.io.names import shown
from voxprior.io.nifti import load_frames
from voxprior.priors.intensity import BACKGROUND, intensity_scale
from voxprior.training.sources.bids import licence
from voxprior.training.sources.detect import find
from voxprior.training.sources.roles import HELD_BACK, roles
from voxprior.training.subject import Subject, spline_coefficients

HELD = 8
"""Volumes in the memory of a process; each is 4 bytes a voxel, and as much again once it was cut obliquely."""
FINE_RATIO = 1.2
"""Axes with voxels of at most this times the finest count as fine."""
NEGATIVE = 0.01
"""Part of the voxels that may lie far below zero; a magnitude image has no such, and interpolation makes few."""
NO_LICENCE = "own data, licence not stated"


class Stamp(NamedTuple):
    """A file as it was when it was found."""

    path: Path
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """That of ``path`` now."""
        state = path.stat()
        return cls(path, state.st_size, state.st_mtime_ns)


class Scanned(Subject):
    """A training volume in a file: what the header says is known, and the voxels are read when they are asked for.

    ``affine``: of the volume in RAS order, 4 x 4, mm. ``reference``: the file whose own scale :attr:`image` is on,
    which for both of a pair is the measured one.
    """

    affine: NDArray[np.float64]
    file: Stamp
    reference: Stamp
    site: str

    def __init__(self, name: str, role: str, modality: str, path: Path, claim: Claim, reference: Path | None = None,
                 site: str = "") -> None:
        affine = to_ras(claim.affine, claim.shape)
        steps = np.linalg.norm(affine[:3, :3], axis=0)
        values = {
            "name": name, "role": role, "modality": modality, "labels": False, "site": site, "affine": affine,
            "voxel": tuple(float(s) for s in steps),
            "fine": tuple(int(a) for a in np.flatnonzero(steps <= FINE_RATIO * steps.min() * (1 + 1e-6))),
            "file": Stamp.of(path), "reference": Stamp.of(reference or path),
        }
        for key, value in values.items():  # the base is frozen, and has voxels where this has a file
            object.__setattr__(self, key, value)

    def __repr__(self) -> str:
        return f"Scanned({self.name!r}, {self.role!r}, {self.modality!r})"

    @property
    def codes(self) -> NDArray[np.float32]:
        """The voxels in the file's own unit, in RAS order, none below zero; read anew each time.

        Raises :class:`InputError` for a file that cannot be read or is no magnitude image.
        """
        return _read(self.file)

    @property
    def image(self) -> NDArray[np.float32]:
        """The volume with the 99th percentile of the reference's foreground at 1."""
        return _held(self.file, self.reference).image

    @property
    def spline(self) -> NDArray[np.float32]:
        """Cubic B-spline coefficients of :attr:`image`."""
        return _held(self.file, self.reference).spline


class Pair(NamedTuple):
    """A measured, coarse volume and the true one of the same place, both on the measured one's scale."""

    measured: Scanned
    truth: Scanned


def read_tree(folder: Path) -> list[Subject]:
    """All training volumes below ``folder``, of any known layout, as yet unread; of pairs the true ones.

    Raises :class:`InputError` for an unknown layout, and for fewer than two subjects.
    """
    found = find(folder)
    given = roles(f.scan.subject for f in found)
    return [
        Scanned(f.scan.name, given[f.scan.subject], f.scan.modality, f.scan.path, f.claim, f.scan.measured, f.scan.site)
        for f in found
    ]


def load_pairs(folder: Path, wanted: Iterable[str]) -> list[Pair]:
    """Pairs below ``folder`` whose subjects have one of the roles ``wanted``, as yet unread.

    Raises :class:`InputError` when there is none.
    """
    found = find(folder)
    given, chosen, pairs = roles(f.scan.subject for f in found), set(wanted), list[Pair]()
    for scan, claim, coarse in found:
        role, low = given[scan.subject], scan.measured
        if coarse is not None and low is not None and role in chosen:
            measured = Scanned(f"{scan.name} measured", role, scan.modality, low, coarse)
            pairs.append(Pair(measured, Scanned(scan.name, role, scan.modality, scan.path, claim, low)))
    if not pairs:
        raise InputError(f"{shown(folder)}: no pair with role {', '.join(sorted(chosen))}; see docs/training-data.md")
    return pairs


def describe(subjects: Iterable[Subject]) -> dict[str, Any]:
    """What a card says of ``subjects`` of a download beside their names, modalities and licences: split and sites."""
    sites = Counter(s.site for s in subjects if isinstance(s, Scanned) and s.site)
    return {
        "split": f"by subject, about one of {HELD_BACK} held back",
        **({"sites": dict(sorted(sites.items()))} if sites else {}),
    }


def licences(folder: Path) -> str:
    """The licence that the data set in ``folder`` states of itself, or that none is."""
    return licence(folder) or NO_LICENCE


def to_ras(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """``affine`` of a volume of ``shape`` (3 counts) after its axes were brought to RAS order; places stay."""
    turn: Any = orientations.io_orientation(affine)  # type: ignore[no-untyped-call]
    return np.asarray(affine @ orientations.inv_ornt_aff(turn, shape))  # type: ignore[no-untyped-call]


class _Contents:
    """A volume in memory."""

    def __init__(self, image: NDArray[np.float32]) -> None:
        self.image = image

    @cached_property
    def spline(self) -> NDArray[np.float32]:
        return spline_coefficients(self.image)


@lru_cache(maxsize=HELD)
def _held(file: Stamp, reference: Stamp) -> _Contents:
    image = _read(file)
    scale = intensity_scale(image) if file == reference else _scale(reference)
    image /= np.float32(scale)
    return _Contents(image)


@lru_cache(maxsize=4096)
def _scale(file: Stamp) -> float:
    return intensity_scale(_read(file))


def _read(file: Stamp) -> NDArray[np.float32]:
    volume = load_frames(file.path, None)[0]
    turn: Any = orientations.io_orientation(volume.affine)  # type: ignore[no-untyped-call]
    turned: Any = orientations.apply_orientation(volume.data, turn)  # type: ignore[no-untyped-call]
    raw = np.nan_to_num(np.ascontiguousarray(turned, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    voxels = np.maximum(raw, 0)
    if not voxels.any():
        raise InputError(f"{shown(file.path)}: no voxel is above zero; take the file out")
    if np.mean(raw < -BACKGROUND * intensity_scale(voxels)) > NEGATIVE:
        raise InputError(f"{shown(file.path)}: many voxels lie far below zero; give magnitudes, not normalised")
    return voxels
