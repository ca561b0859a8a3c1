"""Training on several processes: torchrun and Fabric, over gloo."""

from __future__ import annotations

import json
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

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def _train(folder: Path, data: Path, launcher: list[str], **changes: object) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    settings = folder / "settings.yaml"
    settings.write_text(yaml.safe_dump({**SETTINGS, "data": str(data), "output": str(folder / "out"), **changes}))
    words = [*launcher, "-m", "voxprior", "train", str(settings)]
    words += ["--resume"] if (folder / "out").exists() else []
    _run(words)
    return load_file(folder / "out" / CHECKPOINT)


def _run(words: list[str]) -> None:
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(words, env=alone, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_passes_and_processes_share_one_sequence_of_batches() -> None:
    """Guards the seed stream: two processes take the batches that one process takes in two passes, and none twice."""
    task: object = None
    one = [Stream(task, 1, 2, 0, 1, 2).number(k) for k in range(8)]  # type: ignore[arg-type]
    two = [[Stream(task, 1, 2, rank, 2).number(k) for k in range(4)] for rank in (0, 1)]  # type: ignore[arg-type]
    assert one == list(range(8)) and two == [[0, 2, 4, 6], [1, 3, 5, 7]]


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(data_folder: Path, tmp_path: Path) -> None:
    """Two gloo processes of one pass a step train what one process of two passes a step trains, to rounding."""
    several = _train(tmp_path / "several", data_folder, TORCHRUN)
    one = _train(tmp_path / "one", data_folder, [sys.executable], accumulate=2)
    less = _train(tmp_path / "less", data_folder, [sys.executable])
    assert several.keys() == one.keys()
    weights = [name for name in one if name.startswith(("model.", "ema."))]
    assert weights and all(torch.allclose(several[name], one[name], rtol=1e-4, atol=1e-6) for name in weights)
    assert not all(torch.allclose(less[name], one[name], rtol=1e-4, atol=1e-6) for name in weights)


@pytest.mark.slow
def test_sharded_over_two_processes_a_prior_is_that_of_one(data_folder: Path, tmp_path: Path) -> None:
    """Weights, average and optimiser in parts on two gloo processes train what one process does, also taken up again.

    The checkpoint is whole: what two began, one may end.
    """
    settings = {"decay": 1, "save_every": 10}
    for steps in (3, 5):
        _train(tmp_path / "parts", data_folder, TORCHRUN, strategy="fsdp", accumulate=2, steps=steps, **settings)
    parts = _train(tmp_path / "parts", data_folder, [sys.executable], accumulate=4, steps=6, **settings)
    one = _train(tmp_path / "one", data_folder, [sys.executable], accumulate=4, steps=6, **settings)
    assert {name: value.shape for name, value in parts.items()} == {name: value.shape for name, value in one.items()}
    assert all(torch.allclose(parts[name], one[name], rtol=1e-4, atol=1e-6) for name in one)


HALVES = """
import json
import sys
from pathlib import Path

import torch
from lightning_fabric import Fabric
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.training.sharding import set_up, sharding

fabric = Fabric(accelerator="cpu", devices=2, strategy=sharding())
fabric.launch()
priors = [SlicePrior(SlicePriorConfig(channels=(8, 16), blocks=(1, 1))) for _ in range(2)]
optimiser = torch.optim.AdamW(priors[0].parameters())
for p in priors[0].parameters():
    p.grad = torch.ones_like(p)
optimiser.step()
whole = sum(p.numel() for p in priors[0].parameters())
model, optimiser = set_up(fabric, *priors, optimiser)
kept = [list(prior.parameters()) for prior in priors]
kept += [[state[name] for state in optimiser.state.values()] for name in ("exp_avg", "exp_avg_sq")]
parts = [[sum(f(t) for t in tensors) / whole for tensors in kept] for f in (
    lambda t: t.numel(), lambda t: t.to_local().numel())]
Path(sys.argv[1], f"{fabric.global_rank}.json").write_text(json.dumps(parts))
"""


@pytest.mark.slow
def test_each_of_two_processes_keeps_half(tmp_path: Path) -> None:
    """Guards the point of it: of weights, average and both moments of the optimiser each has its part alone."""
    script = tmp_path / "halves.py"
    script.write_text(HALVES)
    _run([*TORCHRUN, str(script), str(tmp_path)])
    for whole, own in (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)):
        assert whole == [1.0] * 4 and all(0.4 < part < 0.6 for part in own)
