"""k-space in a file becomes the outputs beside a target, slice by slice, all of them or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.io.kspace.reading import READERS
from voxprior.io.kspace.readout import centre_crop
from voxprior.io.names import COMPLEX_SUFFIXES, complex_suffix
from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json
from voxprior.io.reconstructions import COMPLEX, RECONSTRUCTION, image_digest, write_array
from voxprior.jobs.files import Files, Written, publish
from voxprior.jobs.recon import image_place
from voxprior.jobs.recon_dicom import run_dicom
from voxprior.jobs.recon_request import Prepared, ReconRequest, arrays_path, prepare
from voxprior.jobs.recon_slices import account, certificate_of, magnitude, maps_in, reconstruct_all
from voxprior.jobs.recon_stack import Stack
from voxprior.jobs.snapshots import write_snapshots
from voxprior.methods.result import Progress
from voxprior.report.kspace_preview import kspace_preview


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Reconstruct every slice of what was ``prepared``, write the outputs, atomically, and close the input."""
    target = prepared.request.target
    with prepared.kspace:
        if prepared.request.dicom.dicom:
            return run_dicom(prepared, progress)
        return publish(
            prepared.request, prepared.inputs, [target], lambda out: [_restore(prepared, out, target, progress)]
        )


def _run(request: ReconRequest, progress: Progress | None) -> list[Written]:
    return run(prepare(request), progress)


def _name(source: Path) -> str:
    return source.name if source.name.lower().endswith(COMPLEX_SUFFIXES) else f"{source.stem}.npz"


FILES = Files("recon", tuple(suffix for suffix in READERS if suffix != ".hdr"), _name, _run)
"""How ``recon`` goes through a folder: an input that is no format of outputs becomes an .npz file."""


def _restore(prepared: Prepared, out: Transaction, target: Path, progress: Progress | None) -> Written:
    arrays = arrays_path(prepared.request)
    stack, digests = reconstruct_all(prepared, out.path(arrays), progress)
    paths = [] if arrays == target else _write(out, target, "image", stack.image, stack)
    paths.append(arrays)
    for tag, array in maps_in(prepared, stack):
        paths += _write(out, sibling(target, tag), tag, array, stack)
    shot = sibling(target, "preview", ".png")
    picture = kspace_preview(*stack.pictures)
    out.path(shot).write_bytes(picture)
    names = [path.name for path in (*paths, shot)]
    names += write_snapshots(out, target, stack.snapshots, image_place(stack.affine))
    digest = image_digest(target, _stored(target, "image", stack.image, stack), stack.affine)
    certificate = certificate_of(prepared, stack, digests, target, digest, out.path)
    if prepared.measured is not None:
        names.append(prepared.measured.name)
    values, scene = account(prepared, stack, certificate, names)
    write_json(out.path(sidecar_path(target)), values)
    return Written(target, values, picture, scene)


def _write(out: Transaction, target: Path, tag: str, array: NDArray[Any], stack: Stack) -> list[Path]:
    name = "image" if tag.startswith("sample") else tag
    stored = _stored(target, tag, array, stack)
    if complex_suffix(target) == ".h5" and name == "image":
        name = RECONSTRUCTION
    return write_array(out.path, target, name, stored, len(stack.shape), stack.affine)


def _stored(target: Path, tag: str, array: NDArray[Any], stack: Stack) -> NDArray[Any]:
    """``array`` as ``target`` holds it: complex, or as a magnitude. HDF5 holds what the scanner would show."""
    suffix = complex_suffix(target)
    if suffix in COMPLEX:
        return array
    real = magnitude(array, tag, stack)
    crop = stack.kspace.crop if suffix == ".h5" else None
    return np.asarray(real if crop is None else centre_crop(real, crop), np.float32)
