"""Training on several processes: torchrun and Fabric, over gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from voxprior.training.fit import CHECKPOINT, Stream

SETTINGS = {
    "prior": {"channels": [8, 8], "blocks": [1, 1]},
    "examples": {"patch": 32, "spacing": [2.0, 4.0], "resampled": 0.0},
    "steps": 4,
    "batch": 2,
    "warmup": 2,
    "decay": 2,
    "accelerator": "cpu",
    "threads": 1,
    "validate_every": 100,
    "save_every": 4,
}


def _train(folder: Path, data: Path, launcher: list[str], **changes: object) -> dict[str, torch.Tensor]:
    folder.mkdir()
    settings = folder / "settings.yaml"
    settings.write_text(yaml.safe_dump({**SETTINGS, "data": str(data), "output": str(folder / "out"), **changes}))
    words = [*launcher, "-m", "voxprior", "train", str(settings)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(words, env=alone, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return load_file(folder / "out" / CHECKPOINT)


def test_passes_and_processes_share_one_sequence_of_batches() -> None:
    """Guards the seed stream: two processes take the batches that one process takes in two passes, and none twice."""
    task: object = None
    one = [Stream(task, 1, 2, 0, 1, 2).number(k) for k in range(8)]  # type: ignore[arg-type]
    two = [[Stream(task, 1, 2, rank, 2).number(k) for k in range(4)] for rank in (0, 1)]  # type: ignore[arg-type]
    assert one == list(range(8)) and two == [[0, 2, 4, 6], [1, 3, 5, 7]]


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(data_folder: Path, tmp_path: Path) -> None:
    """Two gloo processes of one pass a step train what one process of two passes a step trains, to rounding."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    several = _train(tmp_path / "several", data_folder, torchrun)
    one = _train(tmp_path / "one", data_folder, [sys.executable], accumulate=2)
    less = _train(tmp_path / "less", data_folder, [sys.executable])
    assert several.keys() == one.keys()
    weights = [name for name in one if name.startswith(("model.", "ema."))]
    assert weights and all(torch.allclose(several[name], one[name], rtol=1e-4, atol=1e-6) for name in weights)
    assert not all(torch.allclose(less[name], one[name], rtol=1e-4, atol=1e-6) for name in weights)
