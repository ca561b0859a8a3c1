"""Who is fitted to and who is held back: decided by the subject's name alone, so that more data move nobody."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from voxprior.errors import InputError

HELD_BACK = 20
"""One subject of so many is held back."""


def roles(subjects: Iterable[str]) -> dict[str, str]:
    """``fit`` or ``tune`` for each subject; both occur. Raises :class:`InputError` for fewer than two subjects."""
    order = sorted(set(subjects), key=_number)
    if len(order) < 2:
        raise InputError(f"only {len(order)} subject; a training needs at least two, one of them to be held back")
    tune = {s for s in order if _number(s) % HELD_BACK == 0} or {order[0]}
    tune -= {order[-1]} if len(tune) == len(order) else set()
    return {s: "tune" if s in tune else "fit" for s in order}


def _number(subject: str) -> int:
    return int.from_bytes(sha256(subject.encode("utf-8", "surrogatepass")).digest()[:8], "big")
