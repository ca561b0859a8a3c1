"""Training data: only the subjects that training may see, the same from a folder and from a packed file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.training.data import licences, load_subjects, modalities, pack


def test_roles_are_kept_apart(data_folder: Path) -> None:
    """fit, tune and calibrate subjects never mix, and nothing of the test split is read."""
    assert [s.name for s in load_subjects(data_folder, ("fit",))] == ["a", "b", "f"]
    assert [s.name for s in load_subjects(data_folder, ("tune",))] == ["c"]
    everything = load_subjects(data_folder, ("fit", "tune", "calibrate", ""))
    assert "e" not in {s.name for s in everything}


def test_fine_axes_follow_the_manifest(data_folder: Path) -> None:
    """Only axes with true resolution serve as through-plane truth; (soft) is a remark, not an axis."""
    a, b, labels = load_subjects(data_folder, ("fit",))
    assert a.fine == (0, 1, 2) and b.fine == (1, 2) and labels.labels


def test_volumes_are_in_ras_order_and_scaled(data_folder: Path) -> None:
    """An LAS file is turned, and the 99th percentile of the foreground is 1."""
    a = load_subjects(data_folder, ("fit",))[0]
    foreground = a.image[a.image > 0.1 * np.percentile(a.image, 99.9)]
    assert np.percentile(foreground, 99) == pytest.approx(1, abs=0.02)


def test_a_packed_file_holds_the_same(data_folder: Path, tmp_path: Path) -> None:
    """Packing loses nothing: codes, voxels, roles and axes are those of the folder."""
    size = pack(data_folder, tmp_path / "packed.npz")
    assert size == (tmp_path / "packed.npz").stat().st_size
    for one, two in zip(
        load_subjects(data_folder, ("fit", "tune", "calibrate")),
        load_subjects(tmp_path / "packed.npz", ("fit", "tune", "calibrate")),
        strict=True,
    ):
        assert (one.name, one.role, one.voxel, one.fine) == (two.name, two.role, two.voxel, two.fine)
        assert np.array_equal(one.codes, two.codes)


def test_licences_are_those_of_the_data(data_folder: Path, tmp_path: Path) -> None:
    """Guards the card: what the manifest says of the train split, each once, carried along when it is packed."""
    pack(data_folder, tmp_path / "packed.npz")
    for source in (data_folder, tmp_path / "packed.npz"):
        assert modalities(source)["licences"] == "CC0, MIT, not stated for 1 of 5"
    assert licences(data_folder, "train/b") == "MIT"
    with np.load(tmp_path / "packed.npz") as archive:
        np.savez(tmp_path / "old.npz", **{name: archive[name] for name in archive if name != "licences"})
    assert "does not name" in modalities(tmp_path / "old.npz")["licences"]


def test_wrong_sources_are_named(data_folder: Path, tmp_path: Path) -> None:
    """A folder without manifest, a missing file, a cut archive and a role nobody has are input errors."""
    with pytest.raises(InputError, match="manifest"):
        load_subjects(tmp_path, ("fit",))
    with pytest.raises(InputError, match="not a data folder"):
        load_subjects(tmp_path / "none.npz", ("fit",))
    with pytest.raises(InputError, match="no training volume"):
        load_subjects(data_folder, ("nobody",))
    pack(data_folder, tmp_path / "cut.npz")
    content = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="pack it again"):
        load_subjects(tmp_path / "cut.npz", ("fit",))
