"""Proof that a fine volume explains one that is coarse along several axes, and the check of it from the files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
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
    require_source_of_noise,
)
from voxprior.volume import KSPACE, PROFILES, SliceGeometry, Volume, fine_affine

KIND = "axes"
PLACE_MM = 0.01
"""Millimetres by which the result's voxels may lie elsewhere than the operator says."""

Axes = Sequence[SliceGeometry]
"""From the measurement to the fine grid; an axis that comes again is refined again, from the grid it had by then."""


def axes_certificate(
    axes: Axes,
    measurement: Volume,
    output: Volume,
    source: Path,
    target: Path,
    noise: float | None = None,
    noise_source: NoiseSource = "unknown",
) -> dict[str, Any]:
    """The ``certificate`` of a sidecar: ``output``, to be written to ``target``, explains file ``source``.

    ``measurement``: ``source`` as it was read. ``noise``: its standard deviation in input units, None if unknown.
    """
    require_source_of_noise(noise_source)
    residual, per_slice = axes_residual(axes, output.data, measurement.data)
    return {
        "operator": {"kind": KIND, "axes": [g.to_dict() for g in axes]},
        **origin(measurement, source, target),
        "output_sha256": voxel_digest(stored(output, target)),
        "residual": residual,
        "residual_per_slice": per_slice,
        "noise": None if noise is None else float(noise),
        "noise_source": noise_source,
    }


def axes_residual(axes: Axes, image: NDArray[Any], measured: NDArray[Any]) -> tuple[float, list[float]]:
    """``||A x - y|| / ||y||`` in float64, and the same for every slice: those across the axis :func:`slice_axis` says.

    ``image`` x: the fine grid; ``measured`` y. A slice of zeros is compared with the root mean square of the slice
    norms instead of its own.
    """
    normal = slice_axis(axes)
    x, y = np.moveaxis(image, normal, 0), np.moveaxis(measured, normal, 0)
    matrices = {g: g.matrix() for g in axes}
    # Along the normal first, if at all: what is left goes slice by slice, so that memory stays flat.
    for g in reversed(axes):
        if g.axis == normal:
            x = np.tensordot(matrices[g], x.astype(np.float64), axes=(1, 0))
    missed, norm = np.zeros(len(y)), np.zeros(len(y))
    place = {axis: position for position, axis in enumerate(a for a in range(3) if a != normal)}
    for k, (fine, coarse) in enumerate(zip(x, y, strict=True)):
        found = fine.astype(np.float64)
        for g in reversed(axes):
            if g.axis != normal:
                found = np.moveaxis(np.tensordot(matrices[g], found, axes=(1, place[g.axis])), 0, place[g.axis])
        data = coarse.astype(np.float64)
        missed[k], norm[k] = np.square(found - data).sum(), np.square(data).sum()
    total = float(norm.sum())
    if total == 0:
        raise InputError("the measurement is zero everywhere, so no residual can be stated; give another image")
    each = np.sqrt(missed / np.where(norm > 0, norm, total / len(norm)))
    return float(np.sqrt(missed.sum() / total)), [float(r) for r in each]


def slice_axis(axes: Axes) -> int:
    """Array axis normal to the slices whose residuals are told: the last that is not refined, or k."""
    refined = {g.axis for g in axes}
    return next((axis for axis in (2, 1, 0) if axis not in refined), 2)


def verify_axes(output: Path, certificate: Mapping[str, Any], input: Path | None = None) -> Verification:
    """Compare ``output`` and its input with ``certificate``; ``input``: where the input is now.

    Raises :class:`InputError` when a file is missing or the certificate makes no sense.
    """
    axes = _axes(output, certificate)
    source = find_input(output, certificate, input)
    result = load_result(output)
    measured, digest = load_input(source, certificate.get("input_frame"), certificate["input_sha256"])
    checks = [
        equal("output voxels (sha256)", certificate["output_sha256"], voxel_digest(result)),
        equal("input file (sha256)", certificate["input_sha256"], digest),
    ]
    return Verification(checks + _consistency(certificate, axes, result, measured))


def _consistency(certificate: Mapping[str, Any], axes: Axes, result: Volume, measured: Volume) -> list[Check]:
    """Checks of grid and residual; one failed check when operator, result and input do not fit together."""
    told = float(certificate["residual"])
    shape, affine = list(measured.data.shape), measured.affine
    for g in axes:
        if shape[g.axis] != g.count:
            wrong = f"operator of {g.count} voxels along {'ijk'[g.axis]}, {shape[g.axis]} there"
            return [Check("residual", False, f"{told:.6g}", wrong)]
        shape[g.axis], affine = g.fine_count, fine_affine(affine, g)
    if tuple(shape) != result.data.shape:
        return [Check("residual", False, f"{told:.6g}", f"operator of {tuple(shape)}, output {result.data.shape}")]
    shift = largest_shift(result.affine, affine, result.data.shape)
    with np.errstate(invalid="ignore", over="ignore"):  # an altered file may hold NaN: the check fails, quietly
        residual, per_slice = axes_residual(axes, result.data, measured.data)
    return [
        Check("place in space (mm off)", shift <= PLACE_MM, f"<= {PLACE_MM:g}", f"{shift:.3g}"),
        close("residual", told, residual),
        all_close("residual of every slice (largest)", certificate["residual_per_slice"], per_slice),
    ]


def _axes(output: Path, certificate: Mapping[str, Any]) -> tuple[SliceGeometry, ...]:
    """The operator of ``certificate``, every number of it finite and in range."""
    try:
        axes = tuple(SliceGeometry.from_dict(one) for one in certificate["operator"]["axes"])
        if not axes:
            raise ValueError("no axis")
        for g in axes:
            lengths = (g.spacing, g.thickness, g.fine_spacing)
            if g.axis not in (0, 1, 2) or not all(isfinite(v) and v > 0 for v in lengths):
                raise ValueError("impossible operator")
            if isinstance(g.profile, str) and g.profile not in (*PROFILES, KSPACE):
                raise ValueError("impossible operator: unknown profile")
        np.array(certificate["residual_per_slice"], dtype=np.float64)
    except (InputError, TypeError, KeyError, ValueError) as error:
        raise damaged(output, error) from None
    return axes
