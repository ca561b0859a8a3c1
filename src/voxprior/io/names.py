"""File names: which are images, and how a message shows them."""

from __future__ import annotations

from pathlib import Path

from voxprior.errors import InputError

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mgz")
COMPLEX_SUFFIXES = (".npz", ".nii.gz", ".nii", ".h5", ".cfl")
"""Of images that were reconstructed from k-space."""
OTHER_SUFFIXES = (".json", ".png", ".html", ".npz", ".h5", ".cfl", ".hdr", ".csv", ".md", ".svg", ".pdf")


def shown(path: Path) -> str:
    """``path`` on one line: characters that a terminal would act on, and undecodable bytes, are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def image_suffix(path: Path) -> str:
    """The image suffix of ``path``: ``.nii.gz``, ``.nii`` or ``.mgz``; :class:`InputError` for any other."""
    suffix = _ending(path, IMAGE_SUFFIXES)
    if suffix is None:
        raise InputError(f"{shown(path)}: not the name of an image; it must end in .nii, .nii.gz or .mgz")
    return suffix


def complex_suffix(path: Path) -> str:
    """The suffix of ``path``, the output of a reconstruction; :class:`InputError` for a name without one."""
    suffix = _ending(path, COMPLEX_SUFFIXES)
    if suffix is None:
        raise InputError(f"{shown(path)}: not the name of an output; it must end in {', '.join(COMPLEX_SUFFIXES)}")
    return suffix


def result_suffix(path: Path) -> str:
    """The suffix of ``path``, the output of any job; :class:`InputError` for a name without one."""
    suffix = _ending(path, (*IMAGE_SUFFIXES, *COMPLEX_SUFFIXES))
    return image_suffix(path) if suffix is None else suffix


def any_suffix(path: Path) -> str:
    """The suffix of ``path``, ``.nii.gz`` as one; :class:`InputError` when no writer makes such a file."""
    suffix = _ending(path, (*IMAGE_SUFFIXES, *OTHER_SUFFIXES))
    if suffix is not None:
        return suffix
    known = ", ".join(sorted((*IMAGE_SUFFIXES, *OTHER_SUFFIXES)))
    raise InputError(f"{shown(path)}: cannot write a file of this kind; the name must end in one of {known}")


def _ending(path: Path, suffixes: tuple[str, ...]) -> str | None:
    """The first of ``suffixes`` that ``path`` ends in, with something before it."""
    name = path.name.lower()
    return next((suffix for suffix in suffixes if name.endswith(suffix) and len(name) > len(suffix)), None)
