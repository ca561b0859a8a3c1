"""All slices of k-space in a file, reconstructed, with their proof; another module writes them in a format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxprior.io.arrays import ArraysWriter, Rows
from voxprior.io.kspace.file import Bool, Complex
from voxprior.io.kspace_certificate import kspace_certificate
from voxprior.io.reconstructions import INTERVAL
from voxprior.io.scans import input_names
from voxprior.jobs.acquire import Acquired, acquire, receiver
from voxprior.jobs.job import part_of, together
from voxprior.jobs.recon import reconstruct_slice, reconstruct_stack
from voxprior.jobs.recon_request import Prepared, arrays_path, maps_of, sampling
from voxprior.jobs.recon_stack import Stack
from voxprior.jobs.scenes import kspace_scene
from voxprior.jobs.sidecar import sidecar
from voxprior.methods.result import Progress

if TYPE_CHECKING:
    from voxprior.report.scene import Scene


def reconstruct_all(prepared: Prepared, arrays: Path, progress: Progress | None) -> tuple[Stack, Mapping[str, str]]:
    """Every slice, one after the other, or all together where the method looks across them.

    What a reader of the image and the proof of it need goes into the file ``arrays``; its digests come with the slices.
    """
    with ArraysWriter(arrays) as held:
        stack = _reconstruct(prepared, held, progress)
        _hold(stack, held)
    return stack, held.digests


def certificate_of(
    prepared: Prepared,
    stack: Stack,
    digests: Mapping[str, str],
    target: Path,
    output: str,
    place: Callable[[Path], Path],
) -> dict[str, Any]:
    """The certificate of the image at ``target`` whose digest is ``output``, by what lies in the file of the proof.

    Simulated data are written first, to where ``place`` stages their file, for they are the input.
    """
    source = prepared.inputs[0]
    if prepared.measured is not None:
        source = place(prepared.measured)
        _write_measured(prepared, source, stack)
    arrays, noise = arrays_path(prepared.request), (stack.noise, stack.noise_source)
    certificate = kspace_certificate(stack.fit, stack.operator, digests, source, target, arrays, output, *noise)
    return certificate if prepared.measured is None else {**certificate, "input": prepared.measured.name}


def account(
    prepared: Prepared, stack: Stack, certificate: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, Any], Scene | None]:
    """What the sidecar says, ``names`` being those of the outputs, and what a report shows, if one is asked for."""
    values = sidecar("recon", stack, prepared.options, certificate, input_names(prepared.inputs), names)
    values["acceleration"] = stack.acceleration
    if prepared.request.simulate:
        values["comparison"] = stack.comparison(prepared.options.method)
    if prepared.request.report is None:
        return values, None
    return values, kspace_scene(stack.pictures, stack.shown_invented, certificate["residual_per_coil"])


def magnitude(array: NDArray[Any], tag: str, stack: Stack) -> NDArray[Any]:
    """``array`` as formats without phase hold it: a magnitude, signed for what is a part of the image.

    A part is measured along the phase of the image, so that parts of a voxel add up to its magnitude.
    """
    if tag == "invented":
        return np.asarray((np.conj(np.exp(1j * np.angle(stack.image))) * array).real)
    return np.abs(array) if array.dtype.kind == "c" else array


def maps_in(prepared: Prepared, stack: Stack) -> Iterator[tuple[str, NDArray[Any]]]:
    """Tag and array of every map."""
    if prepared.request.phase:
        yield "phase", np.angle(stack.image)
    if stack.std is not None:
        yield "std", stack.std
    if stack.interval is not None:
        yield INTERVAL, stack.interval
    yield "invented", stack.invented
    for k, sample in enumerate(stack.samples):
        yield f"sample-{k + 1:02d}", sample


def _reconstruct(prepared: Prepared, held: ArraysWriter, progress: Progress | None) -> Stack:
    kspace, options = prepared.kspace, prepared.options
    stack = Stack(kspace, prepared.request.simulate)
    coils = kspace.coils if options.coils is None else options.coils
    shape = (coils, *kspace.shape) if kspace.slices == 1 else (kspace.slices, coils, *kspace.shape)
    with held.rows("maps", shape, np.complex64) as rows:
        measured = _acquired(prepared, rows)
        if kspace.slices > 1 and together("recon", options.method):
            kept = list(measured)
            real = prepared.measured is not None
            found = reconstruct_stack([one for one, _, _ in kept], options, kspace.affine, real, progress)
            for one, (_, data, absent) in zip(found, kept, strict=True):
                stack.add(one, data, absent)
            return stack
        for index, (acquired, data, absent) in enumerate(measured):
            part = part_of(progress, index, kspace.slices)
            place = kspace.affine, part, index, kspace.slices, stack.scale
            stack.add(reconstruct_slice(acquired, options, *place), data, absent)
    return stack


def _acquired(prepared: Prepared, rows: Rows) -> Iterator[tuple[Acquired, Complex, Bool]]:
    """Each slice as it was measured, its k-space, and what its mask asks for in vain; maps go to the disk at once."""
    kspace, options = prepared.kspace, prepared.options
    coils = receiver(kspace.noise, options)
    for index in range(kspace.slices):
        data = prepared.read(index)
        mask, absent = sampling(kspace, prepared.mask, data, index)
        acquired = acquire(data, mask, maps_of(prepared.maps, kspace, index), coils, options)
        rows.write(acquired.maps)
        yield acquired, data, absent


def _hold(stack: Stack, held: ArraysWriter) -> None:
    """What a reader of the image and the proof of it need, beside the maps that are there already."""
    held.write("image", stack.image)
    held.write("mask", stack.mask)
    held.write("coil_matrix", stack.matrix)
    if stack.std is not None:
        held.write("std", stack.std)
    if stack.affine is not None:
        held.write("affine", stack.affine)


def _write_measured(prepared: Prepared, path: Path, stack: Stack) -> None:
    """The simulated k-space, as measured: what the mask leaves out is zero."""
    kspace = prepared.kspace
    with ArraysWriter(path) as out:
        with out.rows("kspace", (kspace.slices, kspace.coils, *kspace.shape), np.complex64) as rows:
            for index in range(kspace.slices):
                rows.write(prepared.read(index) * stack.keep(index))
        if kspace.affine is not None:
            out.write("affine", kspace.affine)
