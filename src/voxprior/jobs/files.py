"""A scan in a file becomes the outputs beside a target, all of them or none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from voxprior.io.encoding import encode
from voxprior.io.names import image_suffix
from voxprior.io.outputs import Transaction, sibling, sidecar_path, write_json, write_volume
from voxprior.jobs.cubic import cubic
from voxprior.jobs.request import Frame, Prepared
from voxprior.jobs.sidecar import file_certificate, sidecar
from voxprior.jobs.simulate import compare
from voxprior.jobs.sr import Restored, restore_slices
from voxprior.methods.result import Progress
from voxprior.report.html import Entry, page
from voxprior.report.preview import preview
from voxprior.volume import Volume

MAPS = "std|interval|invented|input|sample-[0-9]{2}"


@dataclass(frozen=True)
class Written:
    """An output that is complete on the disk: the image, its sidecar's values, its preview (a PNG)."""

    target: Path
    values: Mapping[str, Any]
    picture: bytes

    @property
    def entry(self) -> Entry:
        """What a report says of it."""
        return Entry(self.target.name, self.values, self.picture)


def run(prepared: Prepared, progress: Progress | None = None) -> list[Written]:
    """Restore every frame that was ``prepared`` and write the outputs, atomically; one member a frame."""
    request = prepared.request
    older = [path for frame in prepared.frames for path in _earlier_maps(frame.target)]
    names = [path.name for path in prepared.inputs]
    with Transaction(request.force, prepared.inputs) as out:
        written = [_restore(frame, out, request.source, names, progress) for frame in prepared.frames]
        if request.report is not None:
            out.path(request.report).write_text(page([w.entry for w in written]), encoding="utf-8")
    fresh = {
        frame.target.parent / name
        for frame, w in zip(prepared.frames, written, strict=True)
        for name in w.values["outputs"]
    }
    for path in older:  # only an allowed replacement gets here; maps of another run must not lie beside this one
        if path not in fresh:
            path.unlink(missing_ok=True)
    return written


def _earlier_maps(target: Path) -> list[Path]:
    """Maps that an earlier run wrote beside ``target``, by its sidecar."""
    try:
        names = json.loads(sidecar_path(target).read_bytes())["outputs"]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    suffix = target.name[-len(image_suffix(target)) :]
    own = re.compile(f"{re.escape(target.name.removesuffix(suffix))}_({MAPS}){re.escape(suffix)}")
    return [target.parent / name for name in names if isinstance(name, str) and own.fullmatch(name)]


def write_report(report: Path, force: bool, entries: Sequence[Entry]) -> None:
    """Write the page of a batch, atomically."""
    with Transaction(force) as out:
        out.path(report).write_text(page(entries), encoding="utf-8")


def _restore(frame: Frame, out: Transaction, source: Path, inputs: Sequence[str], progress: Progress | None) -> Written:
    names = []
    if frame.measured is not None:
        source = out.path(frame.measured)
        write_volume(source, frame.volume)
        names.append(frame.measured.name)
    restored = restore_slices(frame.volume, frame.options, progress)
    names += [path.name for path in _write_images(out, frame.target, restored)]
    certificate = file_certificate(restored, source, frame.target)
    if frame.measured is not None:
        certificate["input"] = frame.measured.name
    yardstick = cubic(frame.volume, restored.geometry)
    picture = preview(frame.volume, restored.geometry, yardstick, restored.image, restored.std)
    shot = sibling(frame.target, "preview", ".png")
    out.path(shot).write_bytes(picture)
    values = sidecar(restored, frame.options, certificate, inputs, [*names, shot.name])
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
        _write_pair(out.path(path), *restored.interval)
        yield path


def _write_pair(path: Path, lower: Volume, upper: Volume) -> None:
    """A 4-D image of two frames, the lower and the upper bound, under the header of either."""
    suffix = image_suffix(path)
    kind: Any = nibabel.MGHImage if suffix == ".mgz" else nibabel.Nifti1Image
    header = kind.from_bytes(b"".join(encode(lower, suffix.removesuffix(".gz")))).header
    nibabel.save(kind(np.stack([lower.data, upper.data], axis=-1), lower.affine, header), path)
