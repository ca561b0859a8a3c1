"""What a door asks of ``recon``, read and checked before torch is imported and before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxprior.errors import InputError
from voxprior.io.dicom import is_dicom, require_straight
from voxprior.io.kspace.file import Bool, Complex, KspaceFile
from voxprior.io.kspace.hdf5 import h5py
from voxprior.io.kspace.maps import read_maps
from voxprior.io.kspace.reading import open_kspace
from voxprior.io.names import complex_suffix, shown
from voxprior.io.outputs import sibling, sidecar_path
from voxprior.io.reconstructions import COMPLEX, files_of
from voxprior.jobs.npy import slice_files
from voxprior.jobs.options import DEFAULT_METHOD, ReconOptions, require_method
from voxprior.jobs.recon_simulate import is_image, read_image, require_window, simulated_kspace
from voxprior.jobs.request import Request, require_outputs, require_report_name, require_series_target, require_source
from voxprior.operators.mask_files import SUFFIXES
from voxprior.operators.masks import Mask, detect_mask, parse_mask, read_mask
from voxprior.volume import Volume

SIMULATED_MASK = "uniform:4:24"
"""How --simulate undersamples unless --mask says otherwise."""


@dataclass(frozen=True)
class ReconRequest(Request):
    """One reconstruction; ``phase``: write the phase too, where the image is a magnitude.

    ``simulate``: the source is fully sampled k-space, or a fine volume (or a folder of .npy slices) that becomes the
    k-space of one coil.
    """

    options: ReconOptions
    phase: bool = False


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that makes sense.

    ``inputs``: its files. ``kspace``: the open file, or simulated data. ``mask``: the one that was asked for, or None.
    ``maps``: (coil, *space) or (slice, coil, *space), or None. ``first``: slice 0, read already. ``measured``: where
    simulated data are written. ``origin``: the DICOM series that they are simulated from, if one was.
    """

    request: ReconRequest
    options: ReconOptions
    inputs: tuple[Path, ...]
    kspace: KspaceFile
    mask: Mask | None
    maps: Complex | None
    first: Complex
    measured: Path | None
    origin: Volume | None = None

    def read(self, index: int) -> Complex:
        """K-space of a slice, (coil, *space)."""
        return self.first if index == 0 else self.kspace.read(index)



def prepare(request: ReconRequest) -> Prepared:
    """Open and check everything about ``request``; raises :class:`InputError` for what the user can mend."""
    _require_sense(request)
    options = resolved(request.options, request.simulate)
    inputs = _inputs(request)
    require_outputs(request, inputs, outputs_of(request, options))
    images = request.simulate and is_image(request.source)
    image = read_image(request.source, request.dicom.series) if images else None
    kspace = open_kspace(request.source) if image is None else simulated_kspace(image, request.source)
    try:
        if request.dicom.dicom:
            _require_series(kspace, image)
        if options.coils is not None and options.coils > kspace.coils:
            raise InputError(f"--coils {options.coils} is more than the {kspace.coils} coils of the data; give fewer")
        if request.simulate:
            require_window(kspace)
        mask = asked_mask(options, kspace)
        maps = kspace.maps if options.maps is None else read_maps(Path(options.maps), kspace)
        if maps is not None and maps.ndim == len(kspace.shape) + 3:
            raise InputError(f"{shown(request.source)}: {maps.shape[1]} sets of maps; give one set with --maps")
        first = kspace.read(0)
        sampling(kspace, mask, first, 0)
    except BaseException:
        kspace.close()
        raise
    measured = _measured(request) if images else None
    origin = image if image is not None and "dicom" in image.header else None
    return Prepared(request, options, inputs, kspace, mask, maps, first, measured, origin)


def _require_series(kspace: KspaceFile, image: Volume | None) -> None:
    """Raise :class:`InputError` for what no series of magnitudes can be: sheared, or in Hounsfield units."""
    depth = kspace.slices if len(kspace.shape) == 2 else kspace.shape[0]
    require_straight(kspace.affine, (kspace.shape[-1], kspace.shape[-2], depth), shown(kspace.path))
    series = None if image is None else image.header.get("dicom")
    if series is not None and series.modality != "MR":
        raise InputError(
            f"{shown(kspace.path)}: a series of {series.modality}; the magnitudes of k-space are MR: leave --dicom out"
        )


def maps_of(maps: Complex | None, kspace: KspaceFile, index: int) -> Complex | None:
    """Of ``maps`` (coil, *space) or (slice, coil, *space), or None, those of a slice."""
    return maps if maps is None or maps.ndim == len(kspace.shape) + 1 else np.asarray(maps[index])


def sampling(kspace: KspaceFile, wanted: Mask | None, data: Complex, index: int) -> tuple[Mask, Bool]:
    """The mask to use of slice ``index`` with ``data`` (coil, *space), and the samples it asks for in vain.

    Those lie outside what was measured at all, as zero-padding does; a mask that asks for samples within it that are
    not there raises :class:`InputError`.
    """
    there = detect_mask(data).keep
    if wanted is None:
        mask = Mask(there, "data") if kspace.mask is None else Mask(kspace.mask, "file")
        return mask, np.zeros_like(there)
    absent = wanted.keep & ~there
    inside = absent & _hull(there)
    if inside.any():
        raise InputError(
            f"{shown(kspace.path)}: slice {index} is undersampled already: mask {wanted.name} asks for "
            f"{int(inside.sum())} samples that are zero; leave --mask out, or give fully sampled data"
        )
    return Mask(wanted.keep & there, wanted.name, wanted.nominal, wanted.acs, wanted.seed), absent


def outputs_of(request: ReconRequest, options: ReconOptions) -> list[Path]:
    """Every file that a reconstruction may write, but for a folder of DICOM."""
    if request.dicom.dicom:
        return []
    target = request.target
    tags = ["std", "interval", "invented", *(["phase"] if request.phase else [])]
    if options.mode == "sample" or options.method != DEFAULT_METHOD:
        tags += [f"sample-{k + 1:02d}" for k in range(options.samples)]
    wanted = [*files_of(target), sidecar_path(target), sibling(target, "preview", ".png")]
    for tag in tags:
        wanted += files_of(sibling(target, tag))
    if arrays_path(request) != target:
        wanted.append(arrays_path(request))
    return [*wanted, _measured(request)] if request.simulate and is_image(request.source) else wanted


def arrays_path(request: ReconRequest) -> Path:
    """Where complex image, maps and mask of the output lie: in it, beside it, or in the folder of DICOM."""
    target = request.target
    if request.dicom.dicom:
        return target / "certificate.npz"
    return target if complex_suffix(target) == ".npz" else sibling(target, "certificate", ".npz")


def _measured(request: ReconRequest) -> Path:
    return request.target / "input.npz" if request.dicom.dicom else sibling(request.target, "input", ".npz")


def _require_sense(request: ReconRequest) -> None:
    require_method("recon", request.options)
    require_report_name(request.report)
    require_source(request.source)
    if request.dicom.dicom:
        require_series_target(request)
    else:
        _require_file(request)
    if request.dicom.series is not None and not request.simulate:
        raise InputError("--series belongs to --simulate: k-space has no series; leave it out")
    if request.source.is_dir() and not is_image(request.source):
        raise InputError(f"{shown(request.source)}: a folder; name a file, or --simulate with .npy slices")
    for name in ("maps", "mask"):
        text = getattr(request.options, name)
        if text is not None and Path(text).suffix.lower() in SUFFIXES and not Path(text).is_file():
            raise InputError(f"--{name} {shown(Path(text))}: no such file; check the name")


def _require_file(request: ReconRequest) -> None:
    suffix = complex_suffix(request.target)
    if request.phase and suffix in COMPLEX:
        raise InputError(f"--phase: {shown(request.target)} holds the complex image already; leave --phase out")
    if suffix == ".h5":
        h5py()


def resolved(options: ReconOptions, simulate: bool) -> ReconOptions:
    """``options`` with what others imply: ``samples`` asks for the sampling mode, and a simulation has a mask."""
    changes: dict[str, object] = {}
    if options.method == DEFAULT_METHOD and options.mode is None and "samples" in options.model_fields_set:
        changes["mode"] = "sample"
    if simulate and options.mask is None:
        changes["mask"] = SIMULATED_MASK
    return options.model_copy(update=changes)


def data_files(request: ReconRequest) -> list[Path]:
    """The files of the k-space, or of the image it is simulated from."""
    source = request.source
    if source.is_dir() and not is_dicom(source):
        return slice_files(source)
    if source.suffix.lower() in (".cfl", ".hdr"):
        return [source.with_suffix(".cfl"), source.with_suffix(".hdr")]
    return [source]


def _inputs(request: ReconRequest) -> tuple[Path, ...]:
    files = [Path(text) for text in (request.options.maps, request.options.mask) if text is not None]
    return (*data_files(request), *(path for path in files if path.is_file()))


def asked_mask(options: ReconOptions, kspace: KspaceFile) -> Mask | None:
    """The mask of --mask, or None: by name in the plane of the phase encodings, all axes but the one before the last.

    Raises :class:`InputError` for one that cannot be.
    """
    text, shape = options.mask, kspace.shape
    if text is None:
        return None
    if Path(text).suffix.lower() in SUFFIXES:
        return read_mask(Path(text), shape)
    if len(shape) == 2:
        return parse_mask(text, (shape[0], shape[1]), options.mask_seed)
    plane = parse_mask(text, (shape[0], shape[2]), options.mask_seed)
    keep = np.broadcast_to(plane.keep[:, None, :], shape).copy()
    return Mask(keep, plane.name, plane.nominal, plane.acs, plane.seed)


def _hull(there: Bool) -> Bool:
    """The smallest box that holds every measured sample."""
    box = np.ones_like(there)
    for axis in range(there.ndim):
        hit = np.flatnonzero(there.any(axis=tuple(a for a in range(there.ndim) if a != axis)))
        inside = np.zeros(there.shape[axis], dtype=bool)
        inside[hit[0] : hit[-1] + 1] = True
        box &= inside.reshape([-1 if a == axis else 1 for a in range(there.ndim)])
    return box
