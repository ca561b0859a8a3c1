"""Proof that a volume in HU explains its sinogram, and the check of that proof: scipy, no network, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.dicom import in_order_of
from voxprior.io.headers import largest_shift
from voxprior.io.outputs import file_digest, voxel_digest
from voxprior.io.scans import load_result, stored
from voxprior.io.sinogram import MU_WATER, Sinogram, read_sinogram, to_mu
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
from voxprior.operators.projection_cache import matrix
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.volume import Volume

KIND = "projections"
GRID_TOLERANCE_MM = 0.01
"""The result's voxels lie where the operator puts them, to this."""


@dataclass(frozen=True, eq=False)
class Misfit:
    """Squares of ``A x - y`` and of y, (slice, view)."""

    missed: NDArray[np.float64]
    energy: NDArray[np.float64]

    @property
    def residual(self) -> float:
        """``||A x - y|| / ||y||``."""
        return float(np.sqrt(self.missed.sum() / self.energy.sum()))

    @property
    def per_slice(self) -> list[float]:
        """The same of each slice; one of air alone is compared with the mean of the others."""
        return _parts(self.missed.sum(axis=1), self.energy.sum(axis=1))

    @property
    def per_view(self) -> list[float]:
        """The same of each view."""
        return _parts(self.missed.sum(axis=0), self.energy.sum(axis=0))


def _parts(missed: NDArray[np.float64], energy: NDArray[np.float64]) -> list[float]:
    return [float(v) for v in np.sqrt(missed / np.where(energy > 0, energy, energy.mean()))]


def projection_misfit(hu: NDArray[np.float32], sinogram: Sinogram, mu_water: float) -> Misfit:
    """How far the views of volume ``hu`` are from ``sinogram``, slice by slice in double precision."""
    slices = np.moveaxis(hu, sinogram.axis, 0)
    a = matrix(sinogram.geometry).astype(np.float64)
    views = sinogram.data.shape[1:]
    missed, energy = np.zeros((len(slices), views[0])), np.zeros((len(slices), views[0]))
    for index, (image, y) in enumerate(zip(slices, sinogram.data.astype(np.float64), strict=True)):
        difference = (a @ to_mu(image, mu_water).ravel()).reshape(views) - y
        missed[index], energy[index] = np.square(difference).sum(axis=1), np.square(y).sum(axis=1)
    return Misfit(missed, energy)


def projection_operator(sinogram: Sinogram, mu_water: float) -> dict[str, Any]:
    """All numbers of the operator, which leads from HU to line integrals."""
    numbers = {"slices": sinogram.data.shape[0], "axis": sinogram.axis, "mu_water": mu_water}
    return {"kind": KIND, **sinogram.geometry.to_dict(), **numbers}


def projection_certificate(
    sinogram: Sinogram, output: Volume, mu_water: float, source: Path, target: Path, noise: float | None = None
) -> dict[str, Any]:
    """The ``certificate`` of a sidecar: ``output`` (HU), to be written to ``target``, explains file ``source``.

    ``noise``: root mean square of the std of the line integrals, from the number of photons; None if unknown.
    """
    noise_source: NoiseSource = "unknown" if noise is None else "given"
    require_source_of_noise(noise_source)
    kept = stored(output, target)
    misfit = projection_misfit(in_order_of(kept, sinogram.affine).data, sinogram, mu_water)
    return {
        "operator": projection_operator(sinogram, mu_water),
        "input": relative_path(source, target),
        "input_sha256": file_digest(source),
        "output_sha256": voxel_digest(kept),
        "residual": misfit.residual,
        "residual_per_slice": misfit.per_slice,
        "residual_per_view": misfit.per_view,
        "noise": noise,
        "noise_source": noise_source,
    }


def verify_projections(output: Path, certificate: Mapping[str, Any], input: Path | None) -> Verification:
    """Compare the volume ``output`` and its sinogram with ``certificate``, from the files alone."""
    geometry, axis, mu_water = _operator(output, certificate)
    source = find_input(output, certificate, input)
    result = load_result(output, least=1)  # one slice is enough for X-rays
    checks = [
        equal("output voxels (sha256)", certificate["output_sha256"], voxel_digest(result)),
        equal("input file (sha256)", certificate["input_sha256"], file_digest(source)),
    ]
    sinogram = read_sinogram(source)
    same = sinogram.geometry == geometry and sinogram.axis == axis
    checks.append(Check("scanner", same, "as the input says", "the same" if same else "another"))
    if not same or sinogram.shape != result.data.shape:
        found = f"output {result.data.shape}, input of {sinogram.shape}"
        return Verification([*checks, Check("residual", False, f"{certificate['residual']:.6g}", found)])
    placed = in_order_of(result, sinogram.affine)
    shift = largest_shift(placed.affine, sinogram.affine, result.data.shape)
    with np.errstate(invalid="ignore", over="ignore"):  # an altered file may hold NaN: the check fails, quietly
        misfit = projection_misfit(placed.data, sinogram, mu_water)
    limit = GRID_TOLERANCE_MM
    return Verification(
        [
            *checks,
            Check("place in space (mm off)", shift <= limit, f"<= {limit:g}", f"{shift:.3g}"),
            close("residual", float(certificate["residual"]), misfit.residual),
            all_close("residual of every slice (largest)", certificate["residual_per_slice"], misfit.per_slice),
            all_close("residual of every view (largest)", certificate["residual_per_view"], misfit.per_view),
        ]
    )


def _operator(output: Path, certificate: Mapping[str, Any]) -> tuple[ProjectionGeometry, int, float]:
    """Geometry, axis of the slices and attenuation of water, every number finite and in range."""
    operator = certificate["operator"]
    try:
        geometry = ProjectionGeometry.from_dict(operator)
        axis, mu_water = int(operator["axis"]), float(operator.get("mu_water", MU_WATER))
        if axis not in (0, 1, 2) or not (np.isfinite(mu_water) and mu_water > 0):
            raise ValueError("impossible operator")
        for key in ("residual_per_slice", "residual_per_view"):
            np.array(certificate[key], dtype=np.float64)
    except (InputError, TypeError, KeyError, ValueError) as error:
        raise damaged(output, error) from None
    return geometry, axis, mu_water
