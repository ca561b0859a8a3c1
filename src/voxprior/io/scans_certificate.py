"""Proof that one volume explains several scans, and the check of it from the files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.dicom.reading import read_matching
from voxprior.io.headers import largest_shift
from voxprior.io.names import shown
from voxprior.io.outputs import voxel_digest
from voxprior.io.scans import input_names, load_input, load_result, origin, stored
from voxprior.io.verification import (
    Check,
    NoiseSource,
    Verification,
    all_close,
    close,
    damaged,
    equal,
    find_input,
)
from voxprior.operators.placement import Grid, Parallel, Stack, Tilted, place
from voxprior.volume import Volume

PLACE_MM = 0.01
"""Millimetres by which files may lie elsewhere than the certificate says."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan of several: the ``measurement`` as it was read from ``source``, and how it is explained.

    ``stack``: its slices where they lie in the result's space. ``transform``: 4 x 4, from the space of its header to
    the result's, mm. ``scale``: its intensities over those of the result.
    """

    measurement: Volume
    source: Path
    stack: Stack
    transform: NDArray[np.float64]
    scale: float
    noise: float | None = None
    noise_source: NoiseSource = "unknown"


@dataclass(frozen=True)
class Misfit:
    """``missed`` and ``norm``: squares of A x - y and of y; residual of every slice; part of the voxels that count."""

    missed: float
    norm: float
    per_slice: list[float]
    used: float

    @property
    def residual(self) -> float:
        """``||A x - y|| / ||y||``."""
        return float(np.sqrt(self.missed / self.norm)) if self.norm > 0 else 0.0


def misfit(placed: Parallel | Tilted, stack: Stack, scale: float, x: NDArray[Any], y: NDArray[Any]) -> Misfit:
    """How far ``scale * A x`` is from the scan ``y``, in float64, over the voxels that the grid of ``x`` covers."""
    data = placed.choose(y).astype(np.float64)
    wrong = np.square(scale * placed.apply(x) - data)
    right = np.square(data)
    if isinstance(placed, Parallel):
        along = placed.order.index(stack.axis)
        rest = tuple(a for a in range(3) if a != along)
        missed, norm = wrong.sum(axis=rest), right.sum(axis=rest)
    else:
        number = np.nonzero(placed.kept)[stack.axis]
        missed, norm = (np.bincount(number, part, stack.shape[stack.axis]) for part in (wrong, right))
    total = float(norm.sum())
    each = np.sqrt(missed / np.where(norm > 0, norm, max(total, 1e-300) / len(norm)))
    return Misfit(float(missed.sum()), total, [float(r) for r in each], data.size / y.size)


def scans_certificate(scans: Sequence[Scan], output: Volume, target: Path) -> dict[str, Any]:
    """The ``certificate`` of a sidecar: ``output``, to be written to ``target``, explains every scan.

    Of DICOM ``output`` is what was read back, and ``target`` the sidecar in its folder.
    """
    grid = _grid(output)
    found = [misfit(place(s.stack, grid), s.stack, s.scale, output.data, s.measurement.data) for s in scans]
    total = sum(one.norm for one in found)
    if total == 0:
        raise InputError("the scans are zero everywhere, so no residual can be stated; give other images")
    each = [_entry(scan, one, target) for scan, one in zip(scans, found, strict=True)]
    first = scans[0]
    return {
        "operator": {
            "kind": "scans",
            "grid": {"affine": grid.affine.tolist(), "shape": list(grid.shape)},
            "scans": [scan.stack.to_dict() for scan in scans],
        },
        "input": each[0]["input"],
        "input_sha256": each[0]["input_sha256"],
        "output_sha256": voxel_digest(stored(output, target)),
        "residual": float(np.sqrt(sum(one.missed for one in found) / total)),
        "residual_per_slice": found[0].per_slice,
        "noise": first.noise,
        "noise_source": first.noise_source,
        "scans": each,
    }


def _entry(scan: Scan, found: Misfit, target: Path) -> dict[str, Any]:
    return {
        "name": input_names([scan.source])[0],
        **origin(scan.measurement, scan.source, target),
        "transform": scan.transform.tolist(),
        "scale": scan.scale,
        "residual": found.residual,
        "residual_per_slice": found.per_slice,
        "used": found.used,
        "noise": scan.noise,
        "noise_source": scan.noise_source,
    }


def verify_scans(output: Path, certificate: Mapping[str, Any], input: Path | None = None) -> Verification:
    """Compare ``output`` and its scans with ``certificate``; ``input``: folder where the scans are now.

    Raises :class:`InputError` when a file is missing or the certificate makes no sense.
    """
    try:
        stacks = [Stack.from_dict(one) for one in certificate["operator"]["scans"]]
        grid = np.array(certificate["operator"]["grid"]["affine"], dtype=np.float64)
        told = [(dict(one), np.array(one["transform"], dtype=np.float64), float(one["scale"]))
                for one in certificate["scans"]]
        if len(told) != len(stacks) or not stacks or any(t.shape != (4, 4) for _, t, _ in told):
            raise ValueError("scans and operators differ in number")
    except (TypeError, KeyError, ValueError) as error:
        raise damaged(output, error) from None
    result = load_result(output)
    checks = [equal("output voxels (sha256)", certificate["output_sha256"], voxel_digest(result))]
    shift = largest_shift(result.affine, grid, result.data.shape)
    checks.append(_near("place of the output (mm off)", shift))
    # Its header rounds to single precision, and of slices that the grid hardly meets the last digits decide.
    exact = Volume(result.data, grid) if shift <= PLACE_MM else result
    missed = norm = 0.0
    for (one, transform, scale), stack in zip(told, stacks, strict=True):
        more, found = _checked(output, one, transform, scale, stack, exact, input)
        checks += more
        missed, norm = missed + found.missed, norm + found.norm
    checks.append(close("residual", float(certificate["residual"]), float(np.sqrt(missed / norm)) if norm else np.inf))
    return Verification(checks)


def _checked(
    output: Path, told: Mapping[str, Any], transform: NDArray[np.float64], scale: float, stack: Stack, result: Volume,
    folder: Path | None,
) -> tuple[list[Check], Misfit]:
    """The checks of one scan."""
    measured, digest = _measured(output, told, folder)
    name = shown(Path(str(told.get("name"))))
    checks = [equal(f"{name}: file (sha256)", told["input_sha256"], digest)]
    if measured.data.shape != stack.shape:
        wrong = Check(f"{name}: shape", False, str(stack.shape), str(measured.data.shape))
        return [*checks, wrong], Misfit(0, 0, [], 0)
    checks.append(
        _near(f"{name}: place (mm off)", largest_shift(transform @ measured.affine, stack.affine, stack.shape))
    )
    try:
        placed = place(stack, _grid(result))
    except ValueError as error:
        raise damaged(output, error) from None
    with np.errstate(invalid="ignore", over="ignore"):  # an altered file may hold NaN: the check fails, quietly
        found = misfit(placed, stack, scale, result.data, measured.data)
    checks.append(close(f"{name}: residual", float(told["residual"]), found.residual))
    checks.append(all_close(f"{name}: residual of every slice (largest)", told["residual_per_slice"], found.per_slice))
    return checks, found


def _measured(output: Path, told: Mapping[str, Any], folder: Path | None) -> tuple[Volume, str]:
    """The scan again, and its SHA-256; of DICOM the series of ``folder``, or of a zip in it, that has the digest."""
    frame, digest = told.get("input_frame"), str(told["input_sha256"])
    if folder is None or told["input"] is not None:
        source = find_input(output, told, None if folder is None else _within(folder, told))
        return load_input(source, frame, digest)
    _require_folder(folder)
    found, reason = None, InputError(f"{shown(folder)}: no DICOM series here; name the folder that holds the scans")
    for where in (folder, *sorted(p for p in folder.iterdir() if p.suffix.lower() == ".zip")):
        try:
            found = read_matching(where, digest, frame)
        except InputError as error:
            reason = error
            continue
        if found.header["dicom"].digest == digest:
            break
    if found is None:
        raise reason
    return found, str(found.header["dicom"].digest)


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"{shown(folder)}: of several scans --input names the folder that holds them")


def _within(folder: Path, told: Mapping[str, Any]) -> Path:
    _require_folder(folder)
    return folder / Path(str(told["input"])).name


def _near(name: str, shift: float) -> Check:
    return Check(name, bool(shift <= PLACE_MM), f"<= {PLACE_MM:g}", f"{shift:.3g}")


def _grid(volume: Volume) -> Grid:
    i, j, k = volume.data.shape
    return Grid(np.array(volume.affine), (i, j, k))
