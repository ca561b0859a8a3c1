"""Proof that a result explains its measurement, and the check of that proof from the files alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.background import estimate_background_noise
from voxprior.io.encoding import as_stored
from voxprior.io.headers import largest_shift
from voxprior.io.names import image_suffix, shown
from voxprior.io.nifti import load_frames
from voxprior.io.outputs import file_digest, sidecar_path, voxel_digest
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

NoiseSource = Literal["given", "background", "kspace", "unknown"]

RESIDUAL_ABSOLUTE = 1e-6
RESIDUAL_RELATIVE = 1e-3
"""A recomputed residual r agrees with a stored s when |r - s| <= absolute + relative * s."""
GRID_TOLERANCE_MM = 0.01
"""The result's voxels lie where the operator puts them, to this."""
SIDECAR_BYTES = 1 << 24
BLOCK_VOXELS = 1 << 22

_KEYS = ("operator", "input", "input_sha256", "output_sha256", "residual", "residual_per_slice")


class Check(NamedTuple):
    """One line of a verification: what was checked, whether it held, what the sidecar and the files say."""

    name: str
    ok: bool
    stored: str
    found: str


@dataclass(frozen=True)
class Verification:
    """The outcome of :func:`verify`."""

    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether every check held."""
        return all(check.ok for check in self.checks)


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
    if noise_source not in get_args(NoiseSource):
        raise ValueError(f"noise_source {noise_source!r} is not one of {get_args(NoiseSource)}")
    residual, per_slice = slice_residual(geometry, output.data, measurement.data)
    folder = os.path.realpath(target.parent)
    relative = os.path.relpath(os.path.join(os.path.realpath(source.parent), source.name), folder)
    return {
        "operator": {"kind": "slices", **geometry.to_dict()},
        "input": Path(relative).as_posix(),
        "input_frame": measurement.header.get("frame"),
        "input_sha256": file_digest(source),
        "output_sha256": voxel_digest(as_stored(output, image_suffix(target))),
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
    certificate, geometry = _certificate(output)
    source = Path(input) if input is not None else output.parent / certificate["input"]
    if not source.is_file():
        raise InputError(
            f"{shown(source)}: the input of {output.name} is not there; say where it is with --input"
        )
    frame = certificate.get("input_frame")
    result = load_frames(output, None)[0]
    checks = [
        _equal("output voxels (sha256)", certificate["output_sha256"], voxel_digest(result)),
        _equal("input file (sha256)", certificate["input_sha256"], file_digest(source)),
    ]
    measured = load_frames(source, None if frame is None else str(frame))[0]
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
    claimed = np.array(certificate["residual_per_slice"], dtype=np.float64)
    worst = np.inf
    if claimed.shape == (geometry.count,):
        worst = float((np.abs(claimed - per_slice) - _allowed(claimed)).max())
    return [
        Check(
            "place in space (mm off)", shift <= GRID_TOLERANCE_MM, f"<= {GRID_TOLERANCE_MM:g}", f"{shift:.3g}"
        ),
        Check("residual", abs(residual - stored) <= _allowed(stored), f"{stored:.6g}", f"{residual:.6g}"),
        Check(
            "residual of every slice (largest)",
            worst <= 0,
            f"{claimed.max():.6g}" if claimed.size else "none",
            f"{max(per_slice):.6g}",
        ),
    ]


def _allowed(stored: Any) -> Any:
    return RESIDUAL_ABSOLUTE + RESIDUAL_RELATIVE * np.abs(stored)


def _equal(name: str, stored: Any, found: str) -> Check:
    return Check(name, stored == found, str(stored), found)


def _certificate(output: Path) -> tuple[Mapping[str, Any], SliceGeometry]:
    """The certificate beside ``output`` with its operator, every number of it finite and in range."""
    if output.is_dir():
        raise InputError(f"{shown(output)}: a folder; name an image in it")
    sidecar = sidecar_path(output)
    if not output.is_file():
        raise InputError(f"{shown(output)}: no such file; check the name")
    values = _read_sidecar(sidecar)
    name = shown(sidecar)
    if "certificate" not in values:
        raise InputError(f"{name}: has no certificate; restore the scan again to get one")
    certificate = values["certificate"]
    if certificate is None:
        reason = values.get("certificate_reason") or "no reason is given"
        raise InputError(f"{name}: there is no certificate to verify: {' '.join(str(reason).split())}")
    try:
        missing = [key for key in _KEYS if key not in certificate]
        if missing:
            raise ValueError(f"no {', '.join(missing)}")
        if certificate["operator"]["kind"] != "slices":
            raise ValueError(f"unknown operator {certificate['operator']['kind']!r}")
        geometry = SliceGeometry.from_dict(certificate["operator"])
        lengths = (geometry.spacing, geometry.thickness, geometry.fine_spacing)
        if geometry.axis not in (0, 1, 2) or not all(isfinite(v) and v > 0 for v in lengths):
            raise ValueError("impossible operator")
        if isinstance(geometry.profile, str) and geometry.profile not in PROFILES:
            raise ValueError("impossible operator: unknown profile")
        float(certificate["residual"])
        np.array(certificate["residual_per_slice"], dtype=np.float64)
        Path(certificate["input"])
    except (InputError, TypeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: the certificate is damaged ({reason}); restore the scan again") from None
    return certificate, geometry


def _read_sidecar(sidecar: Path) -> Mapping[str, Any]:
    name = shown(sidecar)
    try:
        if sidecar.stat().st_size > SIDECAR_BYTES:
            raise InputError(f"{name}: far too large for a sidecar; restore the scan again")
        values = json.loads(sidecar.read_bytes().decode("utf-8"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; the sidecar must lie beside the image") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); check the file and the disk") from None
    except (ValueError, RecursionError):
        raise InputError(f"{name}: not JSON as this program writes it; restore the scan again") from None
    if not isinstance(values, dict):
        raise InputError(f"{name}: not a sidecar; restore the scan again")
    return values


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
