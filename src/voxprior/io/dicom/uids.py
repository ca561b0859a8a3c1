"""Names for new objects: unique ones, or ones that follow from what the objects hold."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any, Literal

Uids = Literal["new", "content"]

ROOT = "2.25."
"""Under it every UUID is a UID."""


def series_uid(uids: Uids, *content: str, settings: Mapping[str, Any]) -> str:
    """UID of a series or a study: a new one, or a function of ``content`` (words) and ``settings``."""
    if uids == "new":
        return f"{ROOT}{uuid.uuid4().int}"
    return _hashed(*content, json.dumps(settings, sort_keys=True, default=str))


def instance_uid(series: str, number: int) -> str:
    """UID of image ``number`` of a derived ``series``: it follows from both."""
    return _hashed(series, str(number))


def _hashed(*words: str) -> str:
    digest = hashlib.sha256("\n".join(words).encode()).digest()
    return f"{ROOT}{uuid.UUID(bytes=digest[:16], version=5).int}"
