"""Weights from a repository of the Hugging Face hub: fetched once, kept in its cache, checked against their digest."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

from voxprior.errors import InputError
from voxprior.registry import WeightsPlace

_MEANING = {
    "RepositoryNotFoundError": "there is no such repository, or it is private; check the name",
    "GatedRepoError": "the repository asks for an agreement first; accept it on its page and log in",
    "RevisionNotFoundError": "the repository has no such revision; check what stands after @",
    "EntryNotFoundError": "the repository has no such file, or no card (.json) beside it; check the name",
    "RemoteEntryNotFoundError": "the repository has no such file, or no card (.json) beside it; check the name",
}
"""What the hub's errors mean for the user, by their class."""
_OFFLINE = (
    "it is not in the cache and the hub is not reached; fetch it once with network, or copy the file and its .json "
    "card here and name the file"
)


def fetch(place: WeightsPlace) -> Path:
    """The weight file at ``place`` in the local cache, its card beside it, downloaded if they are not there yet.

    Raises :class:`InputError` without the extra ``hub``, offline for what is not cached, for a name that the hub does
    not know, and for a digest other than the one asked for.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise InputError("hf:// weights need the extra 'hub'; pip install 'voxprior[hub]'") from None
    card = place.file.removesuffix(".safetensors") + ".json"
    name = f"hf://{place.repository}/{place.file}"

    def download(file: str) -> Path:
        return Path(hf_hub_download(place.repository, file, revision=place.revision))

    # One snapshot folder holds the files of one commit, so that the card of an older one does not lie beside them.
    _told(name, lambda: download(card))
    path = _told(name, lambda: download(place.file))
    if place.sha256 is not None and not hmac.compare_digest(_digest(path), place.sha256):
        raise InputError(f"--weights {name}: sha256 is not the one asked for; the file on the hub has changed")
    return path


def _told(name: str, download: Callable[[], Path]) -> Path:
    try:
        return download()
    except Exception as error:  # the hub raises many kinds; all mean that the weights are not here
        kinds = [kind.__name__ for kind in type(error).__mro__]
        known = [] if "LocalEntryNotFoundError" in kinds else kinds  # raised offline, and a kind of missing entry
        meaning = next((_MEANING[kind] for kind in known if kind in _MEANING), _OFFLINE)
        raise InputError(f"--weights {name} cannot be fetched: {meaning}") from None


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
