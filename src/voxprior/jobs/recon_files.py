"""k-space in a file becomes the outputs beside a target, slice by slice, all of them or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.io.arrays import ArraysWriter, Rows
from voxprior.io.kspace.file import Bool, Complex
from voxprior.io.kspace.reading import READERS
from voxprior.io.kspace.readout import centre_crop
from voxprior.io.kspace_certificate import kspace_certificate
from voxprior.io.names import COMPLEX_SUFFIXES, complex_suffix
from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json
from voxprior.io.reconstructions import COMPLEX, INTERVAL, RECONSTRUCTION, image_digest, write_array
from voxprior.io.scans import input_names
from voxprior.jobs.acquire import Acquired, acquire, receiver
from voxprior.jobs.files import Files, Written, publish
from voxprior.jobs.job import part_of, together
from voxprior.jobs.recon import image_place, reconstruct_slice, reconstruct_stack
from voxprior.jobs.recon_request import Prepared, ReconRequest, arrays_path, maps_of, prepare, sampling
from voxprior.jobs.recon_stack import Stack
from voxprior.jobs.scenes import kspace_scene
from voxprior.jobs.sidecar import sidecar
from voxprior.jobs.snapshots import write_snapshots
from voxprior.methods.result import Progress
from voxprior.report.kspace_preview import kspace_preview


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Reconstruct every slice of what was ``prepared``, write the outputs, atomically, and close the input."""
    target = prepared.request.target
    with prepared.kspace:
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
    arrays = arrays_path(target)
    with ArraysWriter(out.path(arrays)) as held:
        stack = _reconstruct(prepared, held, progress)
        _hold(stack, held)
    names = [] if arrays == target else _write(out, target, "image", stack.image, stack)
    names.append(arrays)
    for tag, array in _maps(prepared, stack):
        names += _write(out, sibling(target, tag), tag, array, stack)
    shot = sibling(target, "preview", ".png")
    picture = kspace_preview(*stack.pictures)
    out.path(shot).write_bytes(picture)
    names.append(shot)
    pictures = write_snapshots(out, target, stack.snapshots, image_place(stack.affine))
    names += [target.with_name(name) for name in pictures]
    certificate = _certificate(prepared, stack, held.digests, out)
    if prepared.measured is not None:
        names.append(prepared.measured)
    inputs = input_names(prepared.inputs)
    values = sidecar("recon", stack, prepared.options, certificate, inputs, [path.name for path in names])
    values["acceleration"] = stack.acceleration
    if prepared.request.simulate:
        values["comparison"] = stack.comparison(prepared.options.method)
    write_json(out.path(sidecar_path(target)), values)
    scene = None
    if prepared.request.report is not None:
        scene = kspace_scene(stack.pictures, stack.shown_invented, certificate["residual_per_coil"])
    return Written(target, values, picture, scene)


def _certificate(prepared: Prepared, stack: Stack, digests: Mapping[str, str], out: Transaction) -> dict[str, Any]:
    """The certificate; simulated data are written first, for they are its input."""
    target, source = prepared.request.target, prepared.inputs[0]
    if prepared.measured is not None:
        source = out.path(prepared.measured)
        _write_measured(prepared, source, stack)
    image = _stored(target, "image", stack.image, stack)
    certificate = kspace_certificate(
        stack.fit,
        stack.operator,
        digests,
        source,
        target,
        arrays_path(target),
        image_digest(target, image, stack.affine),
        stack.noise,
        stack.noise_source,
    )
    return certificate if prepared.measured is None else {**certificate, "input": prepared.measured.name}


def _reconstruct(prepared: Prepared, held: ArraysWriter, progress: Progress | None) -> Stack:
    """Every slice, one after the other, or all together where the method looks across them."""
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
            stack.add(reconstruct_slice(acquired, options, kspace.affine, part, index, kspace.slices), data, absent)
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


def _maps(prepared: Prepared, stack: Stack) -> Iterator[tuple[str, NDArray[Any]]]:
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


def _write(out: Transaction, target: Path, tag: str, array: NDArray[Any], stack: Stack) -> list[Path]:
    name = "image" if tag.startswith("sample") else tag
    stored = _stored(target, tag, array, stack)
    if complex_suffix(target) == ".h5" and name == "image":
        name = RECONSTRUCTION
    return write_array(out.path, target, name, stored, len(stack.shape), stack.affine)


def _stored(target: Path, tag: str, array: NDArray[Any], stack: Stack) -> NDArray[Any]:
    """``array`` as ``target`` holds it: complex, or a magnitude, signed for what is a part of the image.

    A part is measured along the phase of the image, so that parts of a voxel add up to its magnitude. HDF5 holds what
    the scanner would show.
    """
    suffix = complex_suffix(target)
    if suffix in COMPLEX:
        return array
    if tag == "invented":
        array = (np.conj(np.exp(1j * np.angle(stack.image))) * array).real
    elif array.dtype.kind == "c":
        array = np.abs(array)
    crop = stack.kspace.crop if suffix == ".h5" else None
    return np.asarray(array if crop is None else centre_crop(array, crop), np.float32)


def _write_measured(prepared: Prepared, path: Path, stack: Stack) -> None:
    """The simulated k-space, as measured: what the mask leaves out is zero."""
    kspace = prepared.kspace
    with ArraysWriter(path) as out:
        with out.rows("kspace", (kspace.slices, kspace.coils, *kspace.shape), np.complex64) as rows:
            for index in range(kspace.slices):
                rows.write(prepared.read(index) * stack.keep(index))
        if kspace.affine is not None:
            out.write("affine", kspace.affine)
