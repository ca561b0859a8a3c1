"""X-ray views in a file become a volume and its maps beside a target, all of them or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voxprior.diffusion.noise import generator
from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json
from voxprior.io.projection_certificate import projection_certificate
from voxprior.io.sinogram import SUFFIX, Sinogram, write_sinogram
from voxprior.jobs.ct import Reconstructed, reconstruct_views
from voxprior.jobs.ct_request import CtRequest, Prepared, prepare
from voxprior.jobs.ct_simulate import compare, simulate
from voxprior.jobs.files import Files, Written, publish
from voxprior.jobs.sidecar import sidecar
from voxprior.jobs.snapshots import write_snapshots
from voxprior.jobs.volumes import write_images
from voxprior.methods.result import Progress
from voxprior.report.preview import beside

WINDOW = (-700.0, 700.0)
"""HU that are black and white in a preview: lungs and bone keep some detail."""


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Reconstruct what was ``prepared`` and write the outputs, atomically."""
    target = prepared.request.target
    return publish(prepared.request, prepared.inputs, [target], lambda out: [_restore(prepared, out, target, progress)])


def _run(request: CtRequest, progress: Progress | None) -> list[Written]:
    return run(prepare(request), progress)


FILES = Files("ct", (SUFFIX,), lambda source: f"{source.stem}.nii.gz", _run)
"""How ``ct`` goes through a folder of sinograms."""


def _restore(prepared: Prepared, out: Transaction, target: Path, progress: Progress | None) -> Written:
    request = prepared.request
    sinogram, source, names = _measured(prepared, out)
    found = reconstruct_views(sinogram, request.options, prepared.mu_water, progress)
    names += [path.name for path in write_images(out, target, found)]
    names += write_snapshots(out, target, found.snapshots, found.image.affine)
    certificate = projection_certificate(sinogram, found.image, prepared.mu_water, source, target, found.noise)
    if request.simulate:
        certificate["input"] = prepared.measured.name
    shot = sibling(target, "preview", ".png")
    picture = _picture(prepared, found)
    out.path(shot).write_bytes(picture)
    inputs = [path.name for path in prepared.inputs]
    values = sidecar("ct", found, request.options, certificate, inputs, [*names, shot.name])
    values["settings"]["mu_water"] = prepared.mu_water
    values["views"] = _views(sinogram)
    if prepared.simulation is not None:
        images = {"fbp": found.plain.data, request.options.method: found.image.data}
        values["comparison"] = compare(images, prepared.simulation.truth.data)
    write_json(out.path(sidecar_path(target)), values)
    return Written(target, values, picture)


def _measured(prepared: Prepared, out: Transaction) -> tuple[Sinogram, Path, list[str]]:
    """The sinogram, the file that holds it, and what was written of it: a simulated one is the certificate's input."""
    if prepared.simulation is None:
        assert prepared.sinogram is not None
        return prepared.sinogram, prepared.request.source, []
    s = prepared.simulation
    rng = generator(prepared.request.options.seed, "photons")
    sinogram = simulate(s.truth, s.geometry, s.axis, prepared.mu_water, s.photons, rng)
    staged = out.path(prepared.measured)
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
