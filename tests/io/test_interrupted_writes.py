"""A full disk, a system limit and an interrupt in mid-write leave the folder as it was."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxprior.io.outputs
from voxprior.errors import InputError
from voxprior.io.outputs import Transaction, write_volume
from voxprior.volume import Volume

SOURCE = Path(voxprior.io.outputs.__file__).parents[2]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize(
    "name, number", [("a.nii.gz", errno.ENOSPC), ("a.nii", errno.EDQUOT), ("a.mgz", errno.EFBIG)]
)
def test_a_full_disk_says_how_much_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """Guards a disk that fills in mid-write: one line with the megabytes, the folder as it was."""

    def pieces(*_: Any) -> Iterator[bytes]:
        yield bytes(9999)
        raise OSError(number, "no space left")

    (tmp_path / "old.json").write_text("old")
    monkeypatch.setattr("voxprior.io.outputs.encode", pieces)
    big = Volume(np.ones((100, 100, 125), np.float32) + np.eye(100, 125, dtype=np.float32), np.eye(4))
    with pytest.raises(InputError, match="5 MB are needed") as caught, Transaction(force=True) as out:
        out.path(tmp_path / "old.json").write_text("new")
        write_volume(out.path(tmp_path / name), big)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {"old.json": b"old"}


def test_a_foreign_writer_that_fills_the_disk(tmp_path: Path) -> None:
    """Guards pictures and reports, which other libraries write: their OSError becomes the same one line."""
    with pytest.raises(InputError, match="disk is full, more than 0.002 MB"), Transaction() as out:
        out.path(tmp_path / "a.png").write_bytes(bytes(2000))
        raise OSError(errno.ENOSPC, "no space left")
    assert contents(tmp_path) == {}


def run_child(folder: Path, text: str) -> subprocess.Popen[str]:
    program = (
        "import resource, sys, time; from pathlib import Path; import numpy as np\n"
        "from voxprior.io import outputs; from voxprior.volume import Volume\n"
        "v = Volume(np.random.default_rng(1).normal(size=(16, 16, 16)), np.eye(4))\n"
        "folder = Path(sys.argv[1])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program + text, str(folder)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_file_size_limit_of_the_system(tmp_path: Path) -> None:
    """Guards against a really refused write (not an imitated one) of the operating system."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    child = run_child(
        tmp_path,
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: outputs.write_volume(folder / 'a.nii.gz', v)\n"
        "except outputs.InputError as error: print(error)\n",
    )
    told, errors = child.communicate(timeout=60)
    assert "0.0164 MB are needed" in told and len(told.splitlines()) == 1, errors
    assert contents(tmp_path) == {}


def test_ctrl_c_in_mid_write_leaves_nothing(tmp_path: Path) -> None:
    """Guards a real interrupt of a real process with half a file on the disk, and an older one to replace."""
    (tmp_path / "a.nii.gz").write_bytes(b"old")
    child = run_child(
        tmp_path,
        "def slowly(*_):\n"
        "    yield bytes(100000)\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
        "outputs.encode = slowly\n"
        "with outputs.Transaction(force=True) as out:\n"
        "    outputs.write_json(out.path(folder / 'a.json'), {'a': 1})\n"
        "    outputs.write_volume(out.path(folder / 'a.nii.gz'), v)\n",
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    assert len(list(tmp_path.iterdir())) == 3, "the interrupt must come while temporary files are there"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert contents(tmp_path) == {"a.nii.gz": b"old"}
