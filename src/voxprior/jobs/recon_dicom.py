"""k-space in a file, reconstructed, becomes series of magnitudes in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.io.dicom import Derivation
from voxprior.io.outputs import voxel_digest, write_json
from voxprior.io.reconstructions import INTERVAL, as_volume
from voxprior.jobs.dicom_files import PREVIEW, SIDECAR, files_digest, in_new_study, publish_series, write_images
from voxprior.jobs.files import Written
from voxprior.jobs.recon import image_place
from voxprior.jobs.recon_request import Prepared, arrays_path, data_files
from voxprior.jobs.recon_slices import account, certificate_of, magnitude, maps_in, reconstruct_all
from voxprior.jobs.recon_stack import Stack
from voxprior.jobs.sidecar import settings
from voxprior.jobs.snapshots import write_pictures
from voxprior.methods.result import Progress
from voxprior.report.kspace_preview import kspace_preview
from voxprior.volume import Volume


def run_dicom(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Reconstruct what was ``prepared`` into the folder of the request."""
    return publish_series(prepared.request, lambda folder: _restore(prepared, folder, progress))


def _restore(prepared: Prepared, folder: Path, progress: Progress | None) -> Written:
    request, arrays = prepared.request, folder / arrays_path(prepared.request).name
    stack, digests = reconstruct_all(prepared, arrays, progress)
    image, source = _volume(stack.image, "image", stack), prepared.origin
    if source is None:
        acquired = "2D" if len(stack.shape) == 2 else "3D"
        source = in_new_study(request, image, "MR", files_digest(data_files(request)), MRAcquisitionType=acquired)
    told = {**settings(prepared.options), **stack.notes}
    derivation = Derivation(_description(prepared, stack), told, thickness=_thickness(prepared))
    image, made = write_images(request, folder, image, _maps(prepared, stack), source, derivation)
    picture = kspace_preview(*stack.pictures)
    (folder / PREVIEW).write_bytes(picture)
    names = [*made, arrays.name, PREVIEW, *write_pictures(folder, stack.snapshots, image_place(stack.affine))]
    if prepared.measured is not None:
        names.append(prepared.measured.name)
    digest, sidecar = voxel_digest(image), folder / SIDECAR
    certificate = certificate_of(prepared, stack, digests, sidecar, digest, lambda path: folder / path.name)
    values, scene = account(prepared, stack, certificate, names)
    write_json(sidecar, values)
    return Written(request.target, values, picture, scene)


def _maps(prepared: Prepared, stack: Stack) -> Iterator[tuple[str, Volume]]:
    for tag, array in maps_in(prepared, stack):
        if tag == INTERVAL:
            yield "lower", _volume(array[0], tag, stack)
            yield "upper", _volume(array[1], tag, stack)
        else:
            yield tag, _volume(array, tag, stack)


def _volume(array: NDArray[Any], tag: str, stack: Stack) -> Volume:
    return as_volume(magnitude(array, tag, stack), stack.affine)


def _thickness(prepared: Prepared) -> float | None:
    """Slices of a series that are slices here, too, keep their thickness, which may not be their distance."""
    origin, affine = prepared.origin, prepared.kspace.affine
    if origin is None or affine is None or not np.array_equal(origin.affine, affine):
        return None
    stated: float | None = origin.header.get("thickness")
    return stated


def _description(prepared: Prepared, stack: Stack) -> str:
    kspace, options = prepared.kspace, prepared.options
    what = f"{kspace.slices} slices" if len(stack.shape) == 2 else "a 3-D acquisition"
    weights = "" if stack.weights is None else f", weights {stack.weights['name']}"
    simulated = "" if prepared.measured is None else "simulated "
    place = "" if stack.affine is not None else ". Voxel size and place are not known: shown as 1 mm at the origin"
    return (
        f"Magnitude of the complex image of {what}, reconstructed by Voxprior from {simulated}k-space, coils: "
        f"{kspace.coils}, acceleration {stack.acceleration['true']:.4g}, method {options.method}{weights}, "
        f"seed {options.seed}{place}"
    )
