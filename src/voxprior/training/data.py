"""Training volumes: of a folder with a manifest, of a download, or of one packed file that travels to a GPU."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.priors.intensity import intensity_scale
from voxprior.training.sources import volumes
from voxprior.training.subject import WINDOW, Subject
from voxprior.volume import axis_codes

__all__ = ["WINDOW", "Subject", "held_back", "licences", "load_ct", "load_subjects", "modalities", "pack"]

TOP = 0.2
"""Part of a CT volume, its uppermost slices, that is held back."""
WATCHED = 4
"""Volumes of a download that are restored at each validation; its cards have all."""
UNKNOWN_LICENCES = "those of the packed volumes, which the file does not name"
CODES, TOP_CODE = 8192, 65535
"""Steps to the scale of a packed volume that is not of whole numbers, and where it is clipped."""
_WORLD = {"L-R": 0, "A-P": 1, "I-S": 2}


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

    Label maps come with role ``fit``. A folder without manifest is searched for the layouts of
    :mod:`voxprior.training.sources`. Raises :class:`InputError` when the source is none of these or nothing is found.
    """
    wanted = set(roles)
    if source.is_dir():
        found = [s for s in _folder(source) if s.role in wanted]
    elif source.suffix == ".npz" and source.is_file():
        found = [s for s in _read_packed(source) if s.role in wanted]
    else:
        raise InputError(f"{source}: not a data folder with manifest.csv nor a packed .npz; see docs/training-data.md")
    if not found:
        raise InputError(f"{source}: no training volume with role {', '.join(sorted(wanted))}; check manifest.csv")
    return found


def held_back(source: Path, thorough: bool = False) -> list[Subject]:
    """Subjects to validate on, those of role ``tune``; of a download :data:`WATCHED` at most unless ``thorough``.

    They are fine along A-P where any are, for that is the axis that a validation makes coarse.
    """
    found = load_subjects(source, ("tune",))
    if not _is_download(source):
        return found
    fine = [s for s in found if 1 in s.fine] or found
    return fine if thorough else fine[:: -(-len(fine) // WATCHED)]


def modalities(source: Path) -> dict[str, Any]:
    """What a card says of the volumes behind a training: split, subjects of each role, modalities, licences."""
    both = load_subjects(source, ("fit", "tune"))
    fit, tune = ([s for s in both if s.role == role] for role in ("fit", "tune"))
    return {
        "split": "train",
        "fit": sorted(s.name for s in fit),
        "tune": sorted(s.name for s in tune),
        "modalities": {m: sum(s.modality == m for s in fit) for m in sorted({s.modality for s in fit})},
        "licences": licences(source, "train/", "labels/"),
        **(volumes.describe(both) if _is_download(source) else {}),
    }


def licences(source: Path, *prefixes: str) -> str:
    """What the manifest in the folder ``source`` says of files below ``prefixes``, each licence once.

    A packed file carries the text along; older ones do not. Of a download it is what the data set states of itself.
    """
    if _is_download(source):
        return volumes.licences(source)
    if not source.is_dir():
        with np.load(source, allow_pickle=False) as archive:
            return bytes(archive["licences"]).decode() if "licences" in archive else UNKNOWN_LICENCES
    rows = list(_rows(source, *prefixes))
    found = sorted({text for row in rows if (text := (row.get("licence") or "").strip())})
    unknown = sum(not (row.get("licence") or "").strip() for row in rows)
    return ", ".join([*found, *([f"not stated for {unknown} of {len(rows)}"] if unknown else [])])


def pack(source: Path, target: Path) -> int:
    """Write every MR volume and label map of the ``train`` split into one compressed file; return its bytes.

    One volume is in memory at a time. Whole numbers stay as they are; others are kept to 1/8192 of the image's scale.
    """
    index: list[list[Any]] = []
    temporary = target.with_name(target.name + ".part.npz")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, s in enumerate(_folder(source)):
            _write_array(archive, f"v{i}", _whole(s.codes))
            index.append([s.name, s.role, s.modality, s.voxel, s.fine, s.labels])
        for name, text in (("licences", licences(source, "train/", "labels/")), ("index", json.dumps(index))):
            _write_array(archive, name, np.frombuffer(text.encode(), dtype=np.uint8))
    temporary.replace(target)
    return target.stat().st_size


def _write_array(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)


def _whole(codes: NDArray[Any]) -> NDArray[Any]:
    """``codes`` as integers of the fewest bytes that hold them."""
    if codes.dtype.kind in "iu":
        return codes
    if codes.max() > TOP_CODE or not np.array_equal(codes, np.rint(codes)):
        codes = np.rint(codes * (CODES / intensity_scale(codes))).clip(0, TOP_CODE)
    return codes.astype(np.uint8 if codes.max() <= 255 else np.uint16)


def _folder(source: Path) -> Iterable[Subject]:
    """Volumes of a data folder with a manifest, or of a download."""
    return volumes.read_tree(source) if _is_download(source) else _read_folder(source)


def _is_download(source: Path) -> bool:
    return source.is_dir() and not (source / "manifest.csv").is_file()


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
