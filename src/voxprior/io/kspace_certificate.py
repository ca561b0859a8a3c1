"""Proof that a reconstruction explains its k-space, and the check of that proof: numpy, no network, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from voxprior.errors import InputError
from voxprior.io.arrays import array_digest
from voxprior.io.dicom import in_order_of
from voxprior.io.dicom.datasets import require_pydicom
from voxprior.io.kspace.arrays import Stored
from voxprior.io.kspace.file import KspaceFile
from voxprior.io.kspace.hdf5 import h5py
from voxprior.io.kspace.npz import read_npz
from voxprior.io.kspace.reading import open_kspace
from voxprior.io.kspace.readout import centre_crop
from voxprior.io.names import complex_suffix, shown
from voxprior.io.outputs import file_digest
from voxprior.io.reconstructions import as_volume, files_of, image_digest, read_image
from voxprior.io.verification import (
    Check,
    NoiseSource,
    Verification,
    all_close,
    close,
    damaged,
    equal,
    find_input,
    relative_path,
    require_source_of_noise,
)

Complex = NDArray[np.complexfloating[Any, Any]]

ARRAYS = ("image", "maps", "mask", "coil_matrix")
"""What the file of the proof holds, each with or without a first axis of slices."""
MAGNITUDE_TOLERANCE = 1e-5
"""By so much of its maximum the output may differ from the magnitude of the complex image."""


@dataclass(frozen=True, eq=False)
class Fit:
    """Squares of ``A x - y`` and of y, (slice, coil)."""

    missed: NDArray[np.float64]
    energy: NDArray[np.float64]

    @property
    def residual(self) -> float:
        """``||A x - y|| / ||y||``."""
        return float(np.sqrt(self.missed.sum() / self.energy.sum()))

    @property
    def per_slice(self) -> list[float]:
        """The same of each slice."""
        return _parts(self.missed.sum(axis=1), self.energy.sum(axis=1))

    @property
    def per_coil(self) -> list[float]:
        """The same of each coil, virtual ones where coils were mixed."""
        return _parts(self.missed.sum(axis=0), self.energy.sum(axis=0))


def _parts(missed: NDArray[np.float64], energy: NDArray[np.float64]) -> list[float]:
    """A part without any signal is compared with the mean of the others."""
    return [float(v) for v in np.sqrt(missed / np.where(energy > 0, energy, energy.mean()))]


def misfit(
    image: Complex, maps: Complex, mask: NDArray[np.bool_], data: Complex
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squares of ``mask (F(maps_c x) - y_c)`` and of ``mask y_c`` for every coil c, in double precision.

    ``image`` (*space), ``maps`` and ``data`` (coil, *space), ``mask`` (*space); F is centred and orthonormal.
    """
    missed, energy = np.zeros(len(data)), np.zeros(len(data))
    for c, (sensitivity, measured) in enumerate(zip(maps, data, strict=True)):
        coil_image = fft.ifftshift(sensitivity.astype(np.complex128) * image)
        y = measured.astype(np.complex128) * mask
        difference = fft.fftshift(fft.fftn(coil_image, norm="ortho")) * mask - y
        missed[c], energy[c] = np.vdot(difference, difference).real, np.vdot(y, y).real
    return missed, energy


def kspace_certificate(
    fit: Fit,
    operator: Mapping[str, Any],
    digests: Mapping[str, str],
    source: Path,
    target: Path,
    arrays: Path,
    output_sha256: str,
    noise: float | None,
    noise_source: NoiseSource,
) -> dict[str, Any]:
    """The ``certificate`` of a sidecar: the image at ``target`` explains the k-space in ``source``.

    ``operator``: shape, slices, coils and mask. ``arrays``: the file that holds complex image, maps, mask and matrix
    of the coils, with their ``digests``.
    """
    require_source_of_noise(noise_source)
    held = {f"{name}_sha256": digests[name] for name in ARRAYS}
    return {
        "operator": {"kind": "fourier", **operator, "arrays": arrays.name, **held},
        "input": relative_path(source, target),
        "input_frame": None,
        "input_sha256": file_digest(source),
        "output_sha256": output_sha256,
        "residual": fit.residual,
        "residual_per_slice": fit.per_slice,
        "residual_per_coil": fit.per_coil,
        "noise": None if noise is None else float(noise),
        "noise_source": noise_source,
    }


@dataclass(frozen=True)
class Claim:
    """What a certificate says of its operator; ``mask``: how it was chosen, ``arrays``: the file that holds it."""

    slices: int
    coils: int
    shape: tuple[int, ...]
    mask: str
    arrays: str
    digests: Mapping[str, str]


class Held:
    """An array of the proof slice by slice; one without an axis of slices is the same for all."""

    def __init__(self, stored: Stored, claim: Claim, shape: tuple[int, ...], kind: str) -> None:
        many = claim.slices > 1 and len(stored.shape) == len(shape) + 1
        expected = (claim.slices, *shape) if many else shape
        if stored.dtype.kind != kind or any(w not in (0, n) for w, n in zip(expected, stored.shape, strict=True)):
            raise ValueError(f"{stored.shape} of {stored.dtype} where {expected} was expected")
        self._stored, self._many = stored, many

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self._stored.row(index) if self._many else self._stored.whole()

    @property
    def digest(self) -> str:
        """Of the whole."""
        rows = (self._stored.row(i) for i in range(self._stored.shape[0]))
        return array_digest(self._stored.shape, rows)


def verify_kspace(output: Path, certificate: Mapping[str, Any], input: Path | None) -> Verification:
    """Check ``output`` and its k-space against ``certificate``; see :func:`voxprior.io.certificate.verify`.

    What is missing is an :class:`InputError`; a file that is there and cannot be read is a check that failed.
    """
    claim = _claim(output, certificate)
    source = find_input(output, certificate, input)
    beside = output / claim.arrays if output.is_dir() else output.with_name(claim.arrays)
    for path in (*([] if output.is_dir() else files_of(output)), beside):
        if not path.is_file():
            raise InputError(f"{shown(path)}: no such file; it belongs to {output.name} and must lie beside it")
    if output.is_dir():
        require_pydicom()
    elif complex_suffix(output) == ".h5":
        h5py()
    checks = [equal("input file (sha256)", certificate["input_sha256"], file_digest(source))]
    try:
        image, affine = read_image(output)
        checks.append(
            equal("output voxels (sha256)", certificate["output_sha256"], image_digest(output, image, affine))
        )
        arrays, release = read_npz(beside)
    except InputError as error:
        return Verification([*checks, Check("output", False, "readable", str(error))])
    try:
        held = _held(arrays, claim)
        checks += [equal(f"{name} (sha256)", claim.digests[name], held[name].digest) for name in ARRAYS]
        if output.is_dir() and "affine" in arrays:
            image = in_order_of(as_volume(image, affine), arrays["affine"].whole()).data.T
        checks.append(_same_image(image, held["image"], claim))
        checks += _consistency(claim, held, source, certificate, checks[0].ok)
    except (KeyError, ValueError) as error:
        checks.append(Check("arrays of the proof", False, "complete", " ".join(str(error).split())))
    finally:
        release()
    return Verification(checks)


def _claim(output: Path, certificate: Mapping[str, Any]) -> Claim:
    try:
        operator = certificate["operator"]
        for part in ("slice", "coil"):
            np.array(certificate[f"residual_per_{part}"], dtype=np.float64)
        claim = Claim(
            int(operator["slices"]),
            int(operator["coils"]),
            tuple(int(n) for n in operator["shape"]),
            str(operator["mask"]),
            Path(operator["arrays"]).name,
            {name: str(operator[f"{name}_sha256"]) for name in ARRAYS},
        )
        if claim.slices < 1 or claim.coils < 1 or len(claim.shape) not in (2, 3) or min(claim.shape) < 1:
            raise ValueError("impossible operator")
    except (TypeError, KeyError, ValueError) as error:
        raise damaged(output, error) from None
    return claim


def _held(arrays: Mapping[str, Stored], claim: Claim) -> dict[str, Held]:
    shapes = {
        "image": claim.shape,
        "maps": (claim.coils, *claim.shape),
        "mask": claim.shape,
        "coil_matrix": (claim.coils, 0),
    }
    return {name: Held(arrays[name], claim, shapes[name], "b" if name == "mask" else "c") for name in ARRAYS}


def _same_image(image: NDArray[Any], held: Held, claim: Claim) -> Check:
    """The output is the complex image of the proof, or its magnitude, or the middle of it."""
    name, rank = "output and the image of the proof", len(claim.shape)
    space = image.shape[-rank:]
    if np.prod(image.shape[:-rank]) != claim.slices or any(m > n for m, n in zip(space, claim.shape, strict=True)):
        return Check(name, False, f"{claim.slices} x {claim.shape}", str(image.shape))
    stack = image.reshape(claim.slices, *space)
    off, top = 0.0, 0.0
    with np.errstate(invalid="ignore", over="ignore"):  # an altered file may hold NaN: the check fails, quietly
        for i, part in enumerate(stack):
            shown = centre_crop(held[i], space)
            whole = shown if part.dtype.kind == "c" else np.abs(shown)
            off = max(off, float(np.nan_to_num(np.abs(part - whole), nan=np.inf).max()))
            top = max(top, float(np.abs(whole).max()))
    return Check(name, off <= MAGNITUDE_TOLERANCE * top, f"differ by <= {MAGNITUDE_TOLERANCE * top:.3g}", f"{off:.3g}")


def _consistency(
    claim: Claim, held: Mapping[str, Held], source: Path, certificate: Mapping[str, Any], untouched: bool
) -> list[Check]:
    """Checks of the residual, from the k-space in ``source``; ``untouched``: it is the file that was read."""
    try:
        with open_kspace(source) as kspace:
            fit, strange = _fit(claim, held, kspace)
    except (InputError, ValueError) as error:
        if untouched and isinstance(error, InputError):  # an extra is missing
            raise
        return [Check("residual", False, f"{certificate['residual']:.6g}", " ".join(str(error).split()))]
    checks = [
        close("residual", float(certificate["residual"]), fit.residual),
        all_close("residual of every slice (largest)", certificate["residual_per_slice"], fit.per_slice),
        all_close("residual of every coil (largest)", certificate["residual_per_coil"], fit.per_coil),
    ]
    if claim.mask == "data":
        checks.append(Check("mask and measured samples (that differ)", strange == 0, "0", str(strange)))
    return checks


def _fit(claim: Claim, held: Mapping[str, Held], kspace: KspaceFile) -> tuple[Fit, int]:
    """How well the proof explains ``kspace``, and on how many samples its mask is not what was measured."""
    if (kspace.slices, kspace.shape) != (claim.slices, claim.shape):
        raise ValueError(f"k-space of {kspace.slices} slices {kspace.shape}, not {claim.slices} of {claim.shape}")
    parts, strange = [], 0
    with np.errstate(invalid="ignore", over="ignore"):
        for i in range(claim.slices):
            data, mask = kspace.read(i), held["mask"][i]
            strange += int((mask != (data != 0).any(axis=0)).sum())
            mixed = np.tensordot(held["coil_matrix"][i], data, axes=1)
            parts.append(misfit(held["image"][i], held["maps"][i], mask, mixed))
    return Fit(np.stack([m for m, _ in parts]), np.stack([e for _, e in parts])), strange
