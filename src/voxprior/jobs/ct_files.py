"""X-ray views in a file become a volume and its maps beside a target, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxprior.diffusion.noise import generator
from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json
from voxprior.io.projection_certificate import projection_certificate
from voxprior.io.scans import input_names
from voxprior.io.sinogram import SUFFIX, Sinogram, write_sinogram
from voxprior.jobs.ct import Reconstructed, reconstruct_views
from voxprior.jobs.ct_request import CtRequest, Prepared, prepare
from voxprior.jobs.ct_simulate import compare, simulate
from voxprior.jobs.dicom_files import PREVIEW, SIDECAR, files_digest, in_new_study, publish_series, write_series
from voxprior.jobs.files import Files, Written, publish
from voxprior.jobs.scenes import views_scene
from voxprior.jobs.sidecar import sidecar
from voxprior.jobs.snapshots import write_pictures, write_snapshots
from voxprior.jobs.volumes import write_images
from voxprior.methods.planes import normals
from voxprior.methods.result import Progress
from voxprior.report.preview import beside
from voxprior.volume import Volume

if TYPE_CHECKING:
    from voxprior.report.scene import Scene

WINDOW = (-700.0, 700.0)
"""HU that are black and white in a preview: lungs and bone keep some detail."""


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Reconstruct what was ``prepared`` and write the outputs, atomically."""
    target = prepared.request.target
    if prepared.request.dicom.dicom:
        return publish_series(prepared.request, lambda folder: _restore_series(prepared, folder, progress))
    return publish(prepared.request, prepared.inputs, [target], lambda out: [_restore(prepared, out, target, progress)])


def _run(request: CtRequest, progress: Progress | None) -> list[Written]:
    return run(prepare(request), progress)


FILES = Files("ct", (SUFFIX,), lambda source: f"{source.stem}.nii.gz", _run)
"""How ``ct`` goes through a folder of sinograms."""


def _restore(prepared: Prepared, out: Transaction, target: Path, progress: Progress | None) -> Written:
    request = prepared.request
    sinogram, source, names = _measured(prepared, out.path)
    found = reconstruct_views(sinogram, request.options, prepared.mu_water, progress)
    names += [path.name for path in write_images(out, target, found)]
    names += write_snapshots(out, target, found.snapshots, found.image.affine)
    certificate = projection_certificate(sinogram, found.image, prepared.mu_water, source, target, found.noise)
    if request.simulate:
        certificate["input"] = prepared.measured.name
    shot = sibling(target, "preview", ".png")
    picture = _picture(prepared, found)
    out.path(shot).write_bytes(picture)
    values = _values(prepared, found, certificate, [*names, shot.name])
    write_json(out.path(sidecar_path(target)), values)
    return Written(target, values, picture, _scene(prepared, found, certificate))


def _restore_series(prepared: Prepared, folder: Path, progress: Progress | None) -> Written:
    """The same into a folder of DICOM, derived from the series that was measured, if one was, or in a new study."""
    request = prepared.request
    sinogram, source, names = _measured(prepared, lambda path: folder / path.name)
    found = reconstruct_views(sinogram, request.options, prepared.mu_water, progress)
    derived = write_series(request, folder, found, _origin(prepared, found), _description(prepared, found), found.notes)
    image, made = derived[0], [*derived[1], *write_pictures(folder, found.snapshots, found.image.affine)]
    certificate = projection_certificate(sinogram, image, prepared.mu_water, source, folder / SIDECAR, found.noise)
    if request.simulate:
        certificate["input"] = prepared.measured.name
    picture = _picture(prepared, found)
    (folder / PREVIEW).write_bytes(picture)
    values = _values(prepared, found, certificate, [*names, *made, PREVIEW])
    write_json(folder / SIDECAR, values)
    return Written(request.target, values, picture, _scene(prepared, found, certificate))


def _origin(prepared: Prepared, found: Reconstructed) -> Volume:
    """What a derived series refers to: the volume that views were taken of, if it is DICOM."""
    if prepared.simulation is not None and "dicom" in prepared.simulation.truth.header:
        return prepared.simulation.truth
    return in_new_study(prepared.request, found.image, "CT", files_digest(prepared.inputs))


def _description(prepared: Prepared, found: Reconstructed) -> str:
    options, views = prepared.request.options, len(found.sinogram.geometry.angles)
    kind = "X-ray views" if prepared.simulation is None else "simulated X-ray views"
    weights = "" if found.weights is None else f", weights {found.weights['name']}"
    return f"Reconstructed by Voxprior, method {options.method}{weights}, seed {options.seed}, from {views} {kind}"


def _values(
    prepared: Prepared, found: Reconstructed, certificate: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    """What the sidecar says."""
    options = prepared.request.options
    values = sidecar("ct", found, options, certificate, input_names(prepared.inputs), names)
    values["settings"]["mu_water"] = prepared.mu_water
    values["views"] = _views(found.sinogram)
    if prepared.simulation is not None:
        images = {"fbp": found.plain.data, options.method: found.image.data}
        truth = prepared.simulation.truth
        planes = {str(name): axis for name, axis in normals(truth.affine).items()}
        values["comparison"] = compare(images, truth.data, planes)
    return values


def _scene(prepared: Prepared, found: Reconstructed, certificate: Mapping[str, Any]) -> Scene | None:
    """What a report shows, if one is asked for."""
    if prepared.request.report is None:
        return None
    truth = None if prepared.simulation is None else prepared.simulation.truth
    return views_scene(found, truth, certificate["residual_per_slice"], WINDOW)


def _measured(prepared: Prepared, place: Callable[[Path], Path]) -> tuple[Sinogram, Path, list[str]]:
    """The sinogram, the file that holds it, and what was written of it: a simulated one is the certificate's input."""
    if prepared.simulation is None:
        assert prepared.sinogram is not None
        return prepared.sinogram, prepared.request.source, []
    s = prepared.simulation
    rng = generator(prepared.request.options.seed, "photons")
    sinogram = simulate(s.truth, s.geometry, s.axis, prepared.mu_water, s.photons, rng)
    staged = place(prepared.measured)
    write_sinogram(staged, sinogram)
    return sinogram, staged, [prepared.measured.name]


def _picture(prepared: Prepared, found: Reconstructed) -> bytes:
    images = [("back-projected", found.plain), ("reconstructed", found.image)]
    if prepared.simulation is not None:
        images.insert(0, ("truth", prepared.simulation.truth))
    g = found.sinogram.geometry
    caption = f"{g.views} views of {g.bins} bins, {g.beam} beam; HU {WINDOW[0]:g} to {WINDOW[1]:g}"
    return beside(images, found.std, caption, WINDOW)


def _views(sinogram: Sinogram) -> dict[str, Any]:
    """How the scanner looked, in short."""
    angles = sinogram.geometry.angles
    counts = None if sinogram.photons is None else float(sinogram.photons.mean())
    return {"count": len(angles), "first_deg": min(angles), "last_deg": max(angles), "photons": counts}
