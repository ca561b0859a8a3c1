"""What all proofs share: the certificate in a sidecar, the checks of it, and their outcome."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from voxprior.errors import InputError
from voxprior.io.dicom.folder import SIDECAR
from voxprior.io.names import shown
from voxprior.io.outputs import sidecar_path

NoiseSource = Literal["given", "background", "kspace", "unknown"]

RESIDUAL_ABSOLUTE = 1e-6
RESIDUAL_RELATIVE = 1e-3
"""A recomputed residual r agrees with a stored s when |r - s| <= absolute + relative * s."""
SIDECAR_BYTES = 1 << 24

_KEYS = ("operator", "input", "input_sha256", "output_sha256", "residual")


class Check(NamedTuple):
    """One line of a verification: what was checked, whether it held, what the sidecar and the files say."""

    name: str
    ok: bool
    stored: str
    found: str


@dataclass(frozen=True)
class Verification:
    """The outcome of :func:`voxprior.io.certificate.verify`."""

    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether every check held."""
        return all(check.ok for check in self.checks)


def equal(name: str, stored: Any, found: str) -> Check:
    """A check of digests."""
    return Check(name, stored == found, str(stored), found)


def close(name: str, stored: float, found: float) -> Check:
    """A check of residuals, within the tolerance of :data:`RESIDUAL_ABSOLUTE` and :data:`RESIDUAL_RELATIVE`."""
    return Check(name, bool(abs(found - stored) <= allowed(stored)), f"{stored:.6g}", f"{found:.6g}")


def all_close(name: str, stored: Any, found: Sequence[float]) -> Check:
    """The same of a list, by its largest values."""
    claimed = np.array(stored, dtype=np.float64)
    ok = claimed.shape == (len(found),) and bool((np.abs(claimed - found) <= allowed(claimed)).all())
    return Check(name, ok, f"{claimed.max():.6g}" if claimed.size else "none", f"{max(found):.6g}")


def allowed(stored: Any) -> Any:
    """How far a recomputed residual may be from the stored one."""
    return RESIDUAL_ABSOLUTE + RESIDUAL_RELATIVE * np.abs(stored)


def require_source_of_noise(word: str) -> None:
    """Raise ValueError unless ``word`` is a :data:`NoiseSource`."""
    if word not in get_args(NoiseSource):
        raise ValueError(f"noise_source {word!r} is not one of {get_args(NoiseSource)}")


def relative_path(source: Path, target: Path) -> str:
    """``source`` as seen from the folder of ``target``, links in the folders followed."""
    folder = os.path.realpath(target.parent)
    return Path(os.path.relpath(os.path.join(os.path.realpath(source.parent), source.name), folder)).as_posix()


def read_certificate(output: Path) -> Mapping[str, Any]:
    """The certificate in the sidecar of ``output``, with the keys that all kinds have.

    Raises :class:`InputError` when the image or the sidecar is missing, not readable, or has no certificate.
    """
    if not output.exists():
        raise InputError(f"{shown(output)}: no such file; check the name")
    sidecar = sidecar_of(output)
    if output.is_dir() and not sidecar.is_file():
        raise InputError(f"{shown(output)}: a folder, and no DICOM series of this program; name an image in it")
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
        str(certificate["operator"]["kind"])
        float(certificate["residual"])
        Path(certificate["input"] or ".")
    except (TypeError, KeyError, ValueError) as error:
        raise damaged(output, error) from None
    return dict(certificate)


def sidecar_of(output: Path) -> Path:
    """The sidecar of ``output``: beside an image, inside a folder of DICOM."""
    return output / SIDECAR if output.is_dir() else sidecar_path(output)


def damaged(output: Path, error: Exception) -> InputError:
    """What to tell of a certificate that makes no sense for the reason ``error``."""
    reason = " ".join(str(error).split())
    return InputError(
        f"{shown(sidecar_of(output))}: the certificate is damaged ({reason}); restore the scan again"
    )


def find_input(output: Path, certificate: Mapping[str, Any], input: Path | None) -> Path:
    """The input of ``output``: ``input`` or where the certificate says; :class:`InputError` when it is not there."""
    if input is None and certificate["input"] is None:
        raise InputError(f"{shown(output)}: its DICOM input is not named, for privacy; say where it is with --input")
    folder = output if output.is_dir() else output.parent
    source = Path(input) if input is not None else folder / certificate["input"]
    if not source.exists():
        raise InputError(
            f"{shown(source)}: the input of {output.name} is not there; say where it is with --input"
        )
    return source


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
