"""A scan in a file becomes the outputs beside a target, all of them or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from voxprior.io.certificate import slice_certificate
from voxprior.io.names import IMAGE_SUFFIXES
from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json, write_pair, write_volume
from voxprior.jobs.cubic import cubic
from voxprior.jobs.files import Files, Written, publish
from voxprior.jobs.sidecar import sidecar
from voxprior.jobs.simulate import compare
from voxprior.jobs.snapshots import write_snapshots
from voxprior.jobs.sr import Restored, restore_slices
from voxprior.jobs.sr_request import Frame, Prepared, SrRequest, prepare
from voxprior.methods.result import Progress
from voxprior.report.preview import preview
from voxprior.volume import Volume


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Restore every frame that was ``prepared`` and write the outputs, atomically; one member a frame."""
    request = prepared.request
    names = [path.name for path in prepared.inputs]

    def restore(out: Transaction) -> list[Written]:
        return [_restore(frame, out, request.source, names, progress) for frame in prepared.frames]

    return publish(request, prepared.inputs, [frame.target for frame in prepared.frames], restore)


def _run(request: SrRequest, progress: Progress | None) -> list[Written]:
    return run(prepare(request), progress)


FILES = Files("sr", IMAGE_SUFFIXES, lambda source: source.name, _run)
"""How ``sr`` goes through a folder."""


def _restore(frame: Frame, out: Transaction, source: Path, inputs: Sequence[str], progress: Progress | None) -> Written:
    names = []
    if frame.measured is not None:
        source = out.path(frame.measured)
        write_volume(source, frame.volume)
        names.append(frame.measured.name)
    restored = restore_slices(frame.volume, frame.options, progress)
    names += [path.name for path in _write_images(out, frame.target, restored)]
    noise = restored.noise, restored.noise_source
    certificate = slice_certificate(restored.geometry, frame.volume, restored.image, source, frame.target, *noise)
    if frame.measured is not None:
        certificate["input"] = frame.measured.name
    yardstick = cubic(frame.volume, restored.geometry)
    picture = preview(frame.volume, restored.geometry, yardstick, restored.image, restored.std)
    shot = sibling(frame.target, "preview", ".png")
    out.path(shot).write_bytes(picture)
    names += write_snapshots(out, frame.target, restored.snapshots, restored.image.affine)
    values = sidecar("sr", restored, frame.options, certificate, inputs, [*names, shot.name])
    if frame.truth is not None:
        values["comparison"] = compare(restored, frame.truth, frame.options.method)
    write_json(out.path(sidecar_path(frame.target)), values)
    return Written(frame.target, values, picture)


def _write_images(out: Transaction, target: Path, restored: Restored) -> Iterator[Path]:
    """Write the image and its maps, and name each as it is done."""
    maps: list[tuple[str, Volume | None]] = [("std", restored.std), ("invented", restored.invented)]
    maps += [(f"sample-{k + 1:02d}", sample) for k, sample in enumerate(restored.samples)]
    write_volume(out.path(target), restored.image)
    yield target
    for tag, volume in maps:
        if volume is not None:
            path = sibling(target, tag)
            write_volume(out.path(path), volume)
            yield path
    if restored.interval is not None:
        path = sibling(target, "interval")
        write_pair(out.path(path), *restored.interval)
        yield path
