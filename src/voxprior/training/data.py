"""Training volumes: read from a folder with a manifest, or from one packed file that travels to a GPU."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from voxprior.errors import InputError
from voxprior.priors.intensity import intensity_scale
from voxprior.volume import axis_codes

WINDOW = (-1000, 2000)
"""HU that a prior for CT is trained on; beyond are metal and errors."""
TOP = 0.2
"""Part of a CT volume, its uppermost slices, that is held back."""
UNKNOWN_LICENCES = "those of the packed volumes, which the file does not name"
_WORLD = {"L-R": 0, "A-P": 1, "I-S": 2}


@dataclass(frozen=True, eq=False)
class Subject:
    """One training volume in RAS order.

    ``codes``: integers as stored; ``image`` has them on the priors' intensity scale (float32); of CT they are HU, and
    the scale is that of the attenuation of water. ``voxel``: mm.
    ``fine``: axes with true fine resolution. ``labels``: whether the codes are tissue labels.
    """

    name: str
    role: str
    modality: str
    codes: NDArray[Any]
    voxel: tuple[float, float, float]
    fine: tuple[int, ...]
    labels: bool = False

    @cached_property
    def image(self) -> NDArray[np.float32]:
        """The volume with the 99th percentile of its foreground at 1; CT with water at 1; label maps as they are."""
        if self.modality == "CT":
            hu: NDArray[np.float32] = np.clip(self.codes, *WINDOW).astype(np.float32)
            return hu / np.float32(1000) + np.float32(1)
        scale = 1.0 if self.labels else intensity_scale(self.codes)
        return self.codes.astype(np.float32) / np.float32(scale)

    @cached_property
    def spline(self) -> NDArray[np.float32]:
        """Cubic B-spline coefficients of :attr:`image`."""
        return np.asarray(spline_filter(self.image, order=3, output=np.float32, mode="mirror"), dtype=np.float32)


def load_ct(source: Path, roles: Iterable[str]) -> list[Subject]:
    """CT volumes of the ``train`` split in a data folder: the top fifth of the slices of each has the role ``tune``.

    The rest has the role of the manifest. Raises :class:`InputError` when there is none.
    """
    wanted, found = set(roles), list[Subject]()
    for row in _rows(source, "ct/"):
        image, zooms = _canonical(source / row["file"])
        hu = np.rint(image).astype(np.int16)
        top = hu.shape[2] - round(TOP * hu.shape[2])
        for role, part in ((row["role"] or "fit", hu[:, :, :top]), ("tune", hu[:, :, top:])):
            if role in wanted:
                found.append(Subject(row["subject"], role, "CT", np.ascontiguousarray(part), zooms, (0, 1, 2)))
    if not found:
        raise InputError(f"{source}: no CT volume in the train split with role {', '.join(sorted(wanted))}")
    return found


def load_subjects(source: Path, roles: Iterable[str]) -> list[Subject]:
    """Subjects of the ``train`` split with one of ``roles``, from a data folder (manifest.csv) or a packed ``.npz``.

    Label maps come with role ``fit``. Raises :class:`InputError` when the source is neither or nothing is found.
    """
    wanted = set(roles)
    if source.is_dir():
        found = [s for s in _read_folder(source) if s.role in wanted]
    elif source.suffix == ".npz" and source.is_file():
        found = [s for s in _read_packed(source) if s.role in wanted]
    else:
        raise InputError(f"{source}: not a data folder with manifest.csv nor a packed .npz; see docs/training-data.md")
    if not found:
        raise InputError(f"{source}: no training volume with role {', '.join(sorted(wanted))}; check manifest.csv")
    return found


def modalities(source: Path) -> dict[str, Any]:
    """What a card says of the volumes behind a training: split, subjects of each role, modalities, licences."""
    fit, tune = load_subjects(source, ("fit",)), load_subjects(source, ("tune",))
    return {
        "split": "train",
        "fit": sorted(s.name for s in fit),
        "tune": sorted(s.name for s in tune),
        "modalities": {m: sum(s.modality == m for s in fit) for m in sorted({s.modality for s in fit})},
        "licences": licences(source, "train/", "labels/"),
    }


def licences(source: Path, *prefixes: str) -> str:
    """What the manifest in the folder ``source`` says of files below ``prefixes``, each licence once.

    A packed file carries the text along; older ones do not.
    """
    if not source.is_dir():
        with np.load(source, allow_pickle=False) as archive:
            return bytes(archive["licences"]).decode() if "licences" in archive else UNKNOWN_LICENCES
    rows = list(_rows(source, *prefixes))
    found = sorted({text for row in rows if (text := (row.get("licence") or "").strip())})
    unknown = sum(not (row.get("licence") or "").strip() for row in rows)
    return ", ".join([*found, *([f"not stated for {unknown} of {len(rows)}"] if unknown else [])])


def pack(source: Path, target: Path) -> int:
    """Write every MR volume and label map of the ``train`` split into one compressed file; return its bytes."""
    arrays: dict[str, NDArray[np.uint8]] = {}
    index: list[list[Any]] = []
    for i, s in enumerate(_read_folder(source)):
        arrays[f"v{i}"] = s.codes
        index.append([s.name, s.role, s.modality, s.voxel, s.fine, s.labels])
    temporary = target.with_name(target.name + ".part.npz")
    arrays["licences"] = np.frombuffer(licences(source, "train/", "labels/").encode(), dtype=np.uint8)
    arrays["index"] = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    np.savez_compressed(temporary, allow_pickle=False, **arrays)
    temporary.replace(target)
    return target.stat().st_size


def _read_folder(folder: Path) -> Iterator[Subject]:
    for row in _rows(folder, "train/", "labels/"):
        labels = row["file"].startswith("labels/")
        image, zooms = _canonical(folder / row["file"])
        codes = np.ascontiguousarray(np.clip(np.rint(image), 0, 255).astype(np.uint8))
        fine = (0, 1, 2) if labels else tuple(_WORLD[t] for t in row["fine_axes"].split() if t in _WORLD)
        modality = "labels" if labels else row["modality"]
        yield Subject(row["subject"] or row["file"], row["role"] or "fit", modality, codes, zooms, fine, labels)


def _rows(folder: Path, *prefixes: str) -> Iterator[dict[str, str]]:
    """Lines of the manifest of the ``train`` split, of files below ``prefixes``."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise InputError(f"{folder}: no manifest.csv; give the folder that holds one")
    with manifest.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["split"] == "train" and row["file"].startswith(prefixes):
                yield row


def _canonical(path: Path) -> tuple[NDArray[Any], tuple[float, float, float]]:
    """Voxels in RAS order and their size in mm."""
    image: Any = nibabel.as_closest_canonical(nibabel.load(path))  # type: ignore[no-untyped-call]
    if axis_codes(image.affine) != ("R", "A", "S"):
        raise InputError(f"{path.name}: axes cannot be brought to RAS order; check its affine")
    x, y, z = (float(v) for v in image.header.get_zooms()[:3])
    return np.asanyarray(image.dataobj), (x, y, z)


def _read_packed(path: Path) -> Iterator[Subject]:
    try:
        # The stream is ours to close: np.load leaves a broken archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            for i, (name, role, modality, voxel, fine, labels) in enumerate(json.loads(bytes(archive["index"]))):
                yield Subject(name, role, modality, archive[f"v{i}"], tuple(voxel), tuple(fine), labels)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as packed training data ({error}); pack it again") from None
