"""Proof that a result explains its measurement, and the check of that proof from the files alone."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.background import estimate_background_noise
from voxprior.io.headers import largest_shift
from voxprior.io.outputs import voxel_digest
from voxprior.io.scans import load_input, load_result, origin, stored
from voxprior.io.verification import (
    Check,
    NoiseSource,
    Verification,
    all_close,
    close,
    damaged,
    equal,
    find_input,
    read_certificate,
    require_source_of_noise,
)
from voxprior.volume import PROFILES, SliceGeometry, Volume, fine_affine

__all__ = [
    "Check",
    "NoiseSource",
    "Verification",
    "estimate_background_noise",
    "slice_certificate",
    "slice_residual",
    "verify",
]

GRID_TOLERANCE_MM = 0.01
"""The result's voxels lie where the operator puts them, to this."""
BLOCK_VOXELS = 1 << 22


def slice_certificate(
    geometry: SliceGeometry,
    measurement: Volume,
    output: Volume,
    source: Path,
    target: Path,
    noise: float | None = None,
    noise_source: NoiseSource = "unknown",
) -> dict[str, Any]:
    """The ``certificate`` of a sidecar: ``output``, to be written to ``target``, explains file ``source``.

    ``measurement``: ``source`` as it was read. ``noise``: its standard deviation in input units, None if
    unknown.
    """
    require_source_of_noise(noise_source)
    residual, per_slice = slice_residual(geometry, output.data, measurement.data)
    return {
        "operator": {"kind": "slices", **geometry.to_dict()},
        **origin(measurement, source, target),
        "output_sha256": voxel_digest(stored(output, target)),
        "residual": residual,
        "residual_per_slice": per_slice,
        "noise": None if noise is None else float(noise),
        "noise_source": noise_source,
    }


def slice_residual(
    geometry: SliceGeometry, image: NDArray[np.float32], slices: NDArray[np.float32]
) -> tuple[float, list[float]]:
    """``||A x - y|| / ||y||`` in float64, and the same for every slice.

    ``image`` x: the fine grid; ``slices`` y: the measurement, with ``geometry.count`` along
    ``geometry.axis``. A slice of zeros is compared with the root mean square of the slice norms instead of
    its own.
    """
    matrix = geometry.matrix()
    fine = np.moveaxis(image, geometry.axis, 0)
    measured = np.moveaxis(slices, geometry.axis, 0)
    missed, norm = np.zeros(geometry.count), np.zeros(geometry.count)
    step = max(1, BLOCK_VOXELS // (fine.shape[0] * fine.shape[2]))
    for start in range(0, fine.shape[1], step):
        block = np.s_[:, start : start + step]
        y = measured[block].astype(np.float64)
        difference = np.tensordot(matrix, fine[block].astype(np.float64), axes=1) - y
        missed += np.square(difference).sum(axis=(1, 2))
        norm += np.square(y).sum(axis=(1, 2))
    total = float(norm.sum())
    if total == 0:
        raise InputError(
            "the measurement is zero everywhere, so no residual can be stated; give another image"
        )
    each = np.sqrt(missed / np.where(norm > 0, norm, total / geometry.count))
    return float(np.sqrt(missed.sum() / total)), [float(r) for r in each]


def verify(output: Path, input: Path | None = None) -> Verification:
    """Compare image ``output`` and its input with the certificate in the sidecar, from the files alone.

    ``input`` overrides the place where the certificate says that the input is. Raises :class:`InputError`
    when a file is missing or not readable, and when the sidecar has no certificate.
    """
    output = Path(output)
    certificate = read_certificate(output)
    if certificate["operator"]["kind"] == "fourier":
        from voxprior.io.kspace_certificate import verify_kspace

        return verify_kspace(output, certificate, input)
    if certificate["operator"]["kind"] == "projections":
        from voxprior.io.projection_certificate import verify_projections

        return verify_projections(output, certificate, input)
    if certificate["operator"]["kind"] == "scans":
        from voxprior.io.scans_certificate import verify_scans

        return verify_scans(output, certificate, input)
    if certificate["operator"]["kind"] == "axes":
        from voxprior.io.axes_certificate import verify_axes

        return verify_axes(output, certificate, input)
    geometry = _geometry(output, certificate)
    source = find_input(output, certificate, input)
    frame = certificate.get("input_frame")
    result = load_result(output)
    measured, digest = load_input(source, frame, certificate["input_sha256"])
    checks = [
        equal("output voxels (sha256)", certificate["output_sha256"], voxel_digest(result)),
        equal("input file (sha256)", certificate["input_sha256"], digest),
    ]
    return Verification(checks + _consistency(certificate, geometry, result, measured))


def _consistency(
    certificate: Mapping[str, Any], geometry: SliceGeometry, result: Volume, measured: Volume
) -> list[Check]:
    """Checks of grid and residual; one failed check when operator, result and input do not fit together."""
    stored = float(certificate["residual"])
    along = list(result.data.shape)
    fits = along[geometry.axis] == geometry.fine_count
    along[geometry.axis] = geometry.count
    if not fits or tuple(along) != measured.data.shape:
        found = f"operator {geometry.count} from {geometry.fine_count}, output {result.data.shape}, "
        return [Check("residual", False, f"{stored:.6g}", found + f"input {measured.data.shape}")]
    shift = largest_shift(result.affine, fine_affine(measured.affine, geometry), result.data.shape)
    with np.errstate(
        invalid="ignore", over="ignore"
    ):  # an altered file may hold NaN: the check fails, quietly
        residual, per_slice = slice_residual(geometry, result.data, measured.data)
    return [
        Check(
            "place in space (mm off)", shift <= GRID_TOLERANCE_MM, f"<= {GRID_TOLERANCE_MM:g}", f"{shift:.3g}"
        ),
        close("residual", stored, residual),
        all_close("residual of every slice (largest)", certificate["residual_per_slice"], per_slice),
    ]


def _geometry(output: Path, certificate: Mapping[str, Any]) -> SliceGeometry:
    """The operator of ``certificate``, every number of it finite and in range."""
    try:
        if certificate["operator"]["kind"] != "slices":
            raise ValueError(f"unknown operator {certificate['operator']['kind']!r}")
        geometry = SliceGeometry.from_dict(certificate["operator"])
        lengths = (geometry.spacing, geometry.thickness, geometry.fine_spacing)
        if geometry.axis not in (0, 1, 2) or not all(isfinite(v) and v > 0 for v in lengths):
            raise ValueError("impossible operator")
        if isinstance(geometry.profile, str) and geometry.profile not in PROFILES:
            raise ValueError("impossible operator: unknown profile")
        np.array(certificate["residual_per_slice"], dtype=np.float64)
    except (InputError, TypeError, KeyError, ValueError) as error:
        raise damaged(output, error) from None
    return geometry
