"""What a browser gets of a derived DICOM series: one zip of it, and the same voxels as NIfTI, to look at."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from voxprior.io.dicom import SIDECAR
from voxprior.io.dicom.reading import read_written
from voxprior.io.outputs import sibling, sidecar_path, write_volume
from voxprior.volume import Volume

PREVIEW = "preview.png"


def hand_over(folder: Path, target: Path, archive: Path) -> None:
    """Put the series in ``folder`` into ``archive``, its image and std beside ``target`` as NIfTI, and remove it."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as out:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            out.write(path, path.relative_to(folder))
    _write(target, read_written(folder))
    if (folder / "std").is_dir():
        _write(sibling(target, "std"), read_written(folder / "std"))
    shutil.copyfile(folder / SIDECAR, sidecar_path(target))
    if (folder / PREVIEW).exists():
        shutil.copyfile(folder / PREVIEW, sibling(target, "preview", ".png"))
    shutil.rmtree(folder)


def _write(path: Path, volume: Volume) -> None:
    """Without the header: it holds who the patient is."""
    write_volume(path, Volume(volume.data, volume.affine, {}))
