"""A run fits into the memory there is, tries smaller network calls once when it runs out, or is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from voxprior.cli.app import main
from voxprior.errors import InputError
from voxprior.jobs import room
from voxprior.jobs.generate import generate
from voxprior.jobs.options import GenerateOptions, SrOptions
from voxprior.jobs.plan import Size, Way, predict
from voxprior.jobs.sr import Restored, restore_slices
from voxprior.priors.denoiser import SlicePrior
from voxprior.volume import Volume

SHAPE = (40, 36, 6)
SIZE = Size((40, 36, 24), 1, 40 * 36 * 6)
TOLERANCE = 1e-5
"""Of the range: how much the size of network calls may change a voxel."""
RAN_OUT = [
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
]


def _scan() -> Volume:
    x, y, z = np.ogrid[-1:1:40j, -1:1:36j, -1:1:6j]
    data = 100.0 * (x**2 + y**2 + z**2 < 0.8) * (1 + 0.3 * np.sin(7 * x + 5 * z))
    return Volume(data.astype(np.float32), np.diag([1.0, 1.0, 4.0, 1.0]))


@pytest.fixture(scope="module")
def whole() -> Restored:
    """The scan restored with one network call a plane."""
    return restore_slices(_scan(), SrOptions())


class Faults:
    """The network, which fails its first calls and remembers how many slabs it was given; 0 before the first."""

    def __init__(self, errors: Iterator[Exception]) -> None:
        self.errors, self.slabs, self.forward = errors, [0], SlicePrior.forward

    def answer(self, prior: SlicePrior, x: torch.Tensor, rest: tuple[torch.Tensor, ...]) -> Any:
        self.slabs.append(len(x))
        for error in self.errors:
            raise error
        return self.forward(prior, x, *rest)


def _faulty(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> Faults:
    faults = Faults(iter(errors))
    monkeypatch.setattr(SlicePrior, "forward", lambda prior, x, *rest: faults.answer(prior, x, rest))
    return faults


def _close(found: Restored, expected: Restored) -> bool:
    limit = TOLERANCE * float(np.ptp(expected.image.data))
    return bool(np.abs(found.image.data - expected.image.data).max() <= limit)


@pytest.mark.parametrize("error", RAN_OUT, ids=["python", "torch", "cuda"])
def test_smaller_calls_are_tried_once(monkeypatch: pytest.MonkeyPatch, whole: Restored, error: Exception) -> None:
    """Guards the retry: the same answer from calls a quarter as large, and a warning that says so."""
    faults = _faulty(monkeypatch, [error])
    found = restore_slices(_scan(), SrOptions())
    assert _close(found, whole)
    assert max(faults.slabs[2:]) <= faults.slabs[1] / 3
    (told,) = [text for text in found.warnings if "memory ran out" in text]
    assert f"those of {found.notes['memory']} MB" in told
    assert not any("memory ran out" in text for text in whole.warnings)


def test_a_second_failure_is_told_in_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against trying for ever, and against a death without a message."""
    faults = _faulty(monkeypatch, [MemoryError(), MemoryError(), MemoryError()])
    told = r"needs about \d+ MB of memory of its own, and memory ran out; give a coarser --spacing"
    with pytest.raises(InputError, match=told):
        restore_slices(_scan(), SrOptions())
    assert len(faults.slabs) == 3


def test_other_errors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards that a mistake of the program is not tried again."""
    faults = _faulty(monkeypatch, [RuntimeError("shapes do not fit")])
    with pytest.raises(RuntimeError, match="do not fit"):
        restore_slices(_scan(), SrOptions())
    assert len(faults.slabs) == 2


def test_methods_without_calls_that_shrink_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards baselines: there is nothing to make smaller."""
    monkeypatch.setattr("voxprior.methods.baselines.interpolation_matrix", _run_out)
    with pytest.raises(InputError, match="memory ran out"):
        restore_slices(_scan(), SrOptions(method="linear"))


def _run_out(*given: Any) -> None:
    raise MemoryError


def _container(folder: Path, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    """A container in which ``left`` bytes are free."""
    group = folder / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text("0::/\n")
    (group / "memory.max").write_text(str(10**9 + left))
    (group / "memory.current").write_text(str(10**9))
    monkeypatch.setattr(room, "ROOT", folder)
    monkeypatch.setattr("voxprior.jobs.fit.resident", lambda: 2**40)  # the program itself is there already


def test_calls_are_as_large_as_the_container_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Restored
) -> None:
    """Guards the choice before the run: the same answer, no warning, and a call that is smaller than all at once."""
    need = predict(Way("sr", "voxprior", "mean"), SIZE)
    assert need is not None
    _container(tmp_path, monkeypatch, need.memory - need.base - need.network // 2)
    faults = _faulty(monkeypatch, [])
    found = restore_slices(_scan(), SrOptions())
    assert _close(found, whole)
    assert 1 < max(faults.slabs) < 18
    assert not any("memory" in text for text in found.warnings)


def test_a_container_that_is_too_small_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards the death without a message: exit code 2, megabytes, an option to change, and no output."""
    source = tmp_path / "thick.nii.gz"
    nibabel.save(nibabel.Nifti1Image(_scan().data, _scan().affine), source)
    _container(tmp_path / "system", monkeypatch, 2**20)
    assert main(["sr", "-i", str(source), "-o", str(tmp_path / "thin.nii.gz")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "MB of memory of its own, and there are" in line and "--spacing" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["system", "thick.nii.gz"]


def test_what_is_asked_for_is_not_exceeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards --memory: with room enough it holds as it was given."""
    _container(tmp_path, monkeypatch, 2**40)
    assert restore_slices(_scan(), SrOptions(memory=64)).notes["memory"] == 64
    assert restore_slices(_scan(), SrOptions()).notes["memory"] is None


def test_a_volume_that_never_fits_names_the_job_s_own_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the remedy: generated volumes have no --spacing that would help."""
    _container(tmp_path, monkeypatch, 2**10)
    with pytest.raises(InputError, match="--shape"):
        generate((16, 16, 16), np.eye(4), GenerateOptions(steps=3))
