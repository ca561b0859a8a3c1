"""Faults of a download: told of in one line, and the rest is used."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.training.data import load_subjects
from voxprior.training.sources.detect import LeftOut, find
from voxprior.training.sources.pool import Pool

Write = Callable[..., Path]


def _bids(root: Path, label: str, suffix: str = ".nii.gz") -> Path:
    return root / f"sub-{label}" / "anat" / f"sub-{label}_T1w{suffix}"


@pytest.fixture
def sound(tmp_path: Path, write: Write) -> Path:
    """Two subjects without fault."""
    for label in ("a", "b"):
        write(_bids(tmp_path, label))
    return tmp_path


def _cut_gz(path: Path, write: Write) -> None:
    content = write(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _cut_nii(path: Path, write: Write) -> None:
    path = write(path.with_suffix(""))
    path.write_bytes(path.read_bytes()[:5000])


def _four(path: Path, write: Write) -> None:
    write(path, shape=(20, 20, 20, 3))


def _thin(path: Path, write: Write) -> None:
    write(path, shape=(64, 64, 3))


def _annexed(path: Path, write: Write) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to("nowhere/MD5E-s1--0.nii.gz")


def _text(path: Path, write: Write) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("<html>please log in</html>")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [(_cut_gz, "cut short"), (_cut_nii, "cut short"), (_four, "3 frames"), (_thin, "thinner"), (_annexed, "fetched"),
     (_text, "not compressed")],
)
def test_a_faulty_file_is_left_out(
    sound: Path, write: Write, spoil: Callable[[Path, Write], None], word: str
) -> None:
    """It is named with its fault, in one line, and the other subjects are found."""
    spoil(_bids(sound, "c"), write)
    with pytest.warns(LeftOut, match=word) as told:
        found = find(sound)
    assert {f.scan.subject for f in found} == {"sub-a", "sub-b"}
    assert len(told) == 1 and "sub-c" in str(told[0].message) and "\n" not in str(told[0].message)


def test_many_faults_are_one_line(sound: Path, write: Write) -> None:
    """Nine faulty files are counted, and some named."""
    for i in range(9):
        _cut_gz(_bids(sound, f"x{i}"), write)
    with pytest.warns(LeftOut, match="9 files are left out.*4 more") as told:
        find(sound)
    assert len(told) == 1


def test_nothing_but_faults(tmp_path: Path, write: Write) -> None:
    """Where no file can serve, the error says that it is for their faults, not for their names."""
    _four(_bids(tmp_path, "a"), write)
    with pytest.warns(LeftOut), pytest.raises(InputError, match="none of its files can serve"):
        find(tmp_path)


def test_links_in_a_circle_end(sound: Path) -> None:
    """A folder that links to one above it is walked once, and no scan is found twice."""
    (sound / "sub-a" / "loop").symlink_to(sound, target_is_directory=True)
    (sound / "again").symlink_to(sound / "sub-b", target_is_directory=True)
    assert len(find(sound)) == 2


def test_a_linked_folder_is_followed(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A data folder may be made of links to where the data are."""
    view = tmp_path_factory.mktemp("view")
    for place in sound.iterdir():
        (view / place.name).symlink_to(place, target_is_directory=True)
    assert len(find(view)) == 2


def test_several_gzip_members_are_no_fault(sound: Path, write: Write) -> None:
    """Block compression ends with the length of its last block; the file is whole nevertheless."""
    path = write(_bids(sound, "c"))
    plain = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(plain[:9000]) + gzip.compress(plain[9000:]) + gzip.compress(b""))
    assert struct.unpack("<I", path.read_bytes()[-4:]) == (0,)
    assert len(find(sound)) == 3


def test_one_subject_cannot_be_split(tmp_path: Path, write: Write) -> None:
    """Two sessions of one subject are no two subjects."""
    for session in ("1", "2"):
        write(tmp_path / "sub-a" / f"ses-{session}" / "anat" / f"sub-a_ses-{session}_T1w.nii.gz")
    with pytest.raises(InputError, match="at least two"):
        load_subjects(tmp_path, ("fit",))


def test_damage_that_shows_only_when_read(tmp_path: Path, write: Write) -> None:
    """A wrong checksum deep in a file is told of at its first draw, and others are drawn in its place."""
    for i in range(6):
        write(_bids(tmp_path, f"s{i}"))
    fit = load_subjects(tmp_path, ("fit",))
    path = fit[0].file.path  # type: ignore[attr-defined]
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF  # the first byte of the checksum
    path.write_bytes(content)
    fit = load_subjects(tmp_path, ("fit",))
    pool, rng = Pool(fit, np.full(len(fit), 1 / len(fit))), np.random.default_rng(0)
    with pytest.warns(LeftOut, match=f"1 file is left out: {path.name}"):
        drawn = {pool.draw(rng).name for _ in range(40)}
    assert drawn == {s.name for s in fit[1:]}
    with pytest.warns(LeftOut), pytest.raises(InputError, match="damaged"):
        Pool(fit[:1], np.ones(1)).draw(rng)


def test_normalised_and_empty_volumes_are_refused(tmp_path: Path, write: Write) -> None:
    """z-scores and an empty image have no intensity scale; some overshoot below zero and NaN outside are no fault."""
    rng = np.random.default_rng(0)
    ringing = np.full((20, 20, 20), 100.0, np.float32)
    ringing[:2] = np.nan
    ringing[2, 2, :5] = -3
    write(_bids(tmp_path, "a"), rng.standard_normal((20, 20, 20)).astype(np.float32))
    write(_bids(tmp_path, "b"), np.zeros((20, 20, 20), np.float32))
    write(_bids(tmp_path, "c"), ringing)
    a, b, c = sorted(load_subjects(tmp_path, ("fit", "tune")), key=lambda s: s.name)
    with pytest.raises(InputError, match="far below zero"):
        _ = a.image
    with pytest.raises(InputError, match="no voxel is above zero"):
        _ = b.image
    assert np.isfinite(c.image).all() and c.image.min() == 0 and c.image.max() == pytest.approx(1)
