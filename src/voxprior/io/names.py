"""File names: which are images, and how a message shows them."""

from __future__ import annotations

from pathlib import Path

from voxprior.errors import InputError

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mgz")
OTHER_SUFFIXES = (".json", ".png", ".html", ".npz", ".csv", ".md", ".svg", ".pdf")


def shown(path: Path) -> str:
    """``path`` on one line: characters that a terminal would act on, and undecodable bytes, are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def image_suffix(path: Path) -> str:
    """The image suffix of ``path``: ``.nii.gz``, ``.nii`` or ``.mgz``; :class:`InputError` for any other."""
    name = path.name.lower()
    for suffix in IMAGE_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return suffix
    raise InputError(f"{shown(path)}: not the name of an image; it must end in .nii, .nii.gz or .mgz")


def any_suffix(path: Path) -> str:
    """The suffix of ``path``, ``.nii.gz`` as one; :class:`InputError` when no writer makes such a file."""
    name = path.name.lower()
    for suffix in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES):
        if name.endswith(suffix) and len(name) > len(suffix):
            return suffix
    known = ", ".join(sorted((*IMAGE_SUFFIXES, *OTHER_SUFFIXES)))
    raise InputError(f"{shown(path)}: cannot write a file of this kind; the name must end in one of {known}")
