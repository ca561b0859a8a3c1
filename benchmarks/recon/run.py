"""Other tools on the same k-space, maps and masks as `voxprior evaluate recon`, with the same figures.

Each has a weight of its regularisation, which is chosen on the tune subjects for each mask; no test subject is used.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import bart
import numpy as np
import torch

from voxprior.evaluate.page import PAGE, RESULTS, peers, write_page
from voxprior.evaluate.recon.acquire import Problem
from voxprior.evaluate.recon.measure import case_key, score
from voxprior.evaluate.recon.protocols import REAL, SIMULATED, Case, recon_cases, tune_cases, undersampled_cases
from voxprior.evaluate.recon.stack import Stack, pose
from voxprior.evaluate.record import as_record
from voxprior.evaluate.store import Store

TUNING = "recon-tuning.jsonl"
"""What the search over the weights gave, in the folder of the results."""
HERE = Path(__file__).parent
PACKAGES = {"deepinv": "deepinv==0.5.0", "mrpro": "mrpro==0.261015"}


@dataclass(frozen=True)
class Peer:
    """``solve(problem, weight)`` gives an image on the scale of the data and seconds; ``on`` says on which cases.

    ``strong``: the weights that are tried at R = 24, by default the same.
    """

    label: str
    version: str
    weights: tuple[float, ...]
    solve: Callable[[Problem, float], tuple[np.ndarray, float]]
    on: Callable[[Case], bool] = lambda case: True
    strong: tuple[float, ...] = ()

    def grid(self, case: Case) -> tuple[float, ...]:
        """The weights that are tried for a case."""
        return self.strong or self.weights if case.acceleration == 24 else self.weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--peer", choices=["bart-wavelet", "bart-tv", "deepinv", "mrpro"], required=True)
    parser.add_argument("--only", action="append", default=[], help="words that must occur in the name of a case")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--environment", type=Path, help="of deepinv or mrpro; default runs/NAME-environment")
    chosen = parser.parse_args()
    peer = make_peer(chosen.peer, chosen.environment or Path("runs") / f"{chosen.peer}-environment")
    store, tuning = peers(chosen.out, "recon"), Store(chosen.out / TUNING)
    done = {record["key"] for record in store.records()}
    for case in [*recon_cases(chosen.data), *undersampled_cases(chosen.data)]:
        if not peer.on(case) or not all(word in case.name for word in chosen.only):
            continue
        settings = {"version": peer.version, "weight": choose(peer, chosen.data, case, tuning), "grid": peer.grid(case)}
        key = case_key(case, peer.label, settings)
        if key in done:
            continue
        record = measured(peer, case, problem_of(chosen.data, case), settings, key)
        store.append(record)
        print(told(record), flush=True)
    write_page(chosen.page, chosen.out)


def choose(peer: Peer, data: Path, case: Case, tuning: Store) -> float:
    """The weight with the best mean PSNR over the tune subjects for this mask, by as many coils: one, or several.

    Stacks have weights of their own: there is no noise in them.
    """
    family, acceleration = (case.mask, case.acceleration) if case.mask else ("poisson", 8)
    stacked, alone = case.slices > 1, case.source in ("complex", "stack")
    alike = [
        c
        for c in tune_cases(data)
        if (c.mask, c.acceleration, c.coils == 1, c.slices > 1) == (family, acceleration, alone, stacked)
    ]
    known = {record["key"]: record for record in tuning.records()}
    means = {}
    for weight in peer.grid(case):
        values = []
        for c in alike:
            settings = {"version": peer.version, "weight": weight}
            key = case_key(c, peer.label, settings)
            if key not in known:
                known[key] = measured(peer, c, problem_of(data, c), settings, key)
                tuning.append(known[key])
                print(f"tune  {told(known[key])}  weight {weight:g}", flush=True)
            values.append(known[key]["figures"]["psnr"])
        means[weight] = float(np.mean(values))
    return max(means, key=lambda weight: means[weight])


def measured(peer: Peer, case: Case, problem: Problem | Stack, settings: dict, key: str) -> dict:
    parts = problem.parts if isinstance(problem, Stack) else (problem,)
    images, times = zip(*(peer.solve(part, settings["weight"]) for part in parts), strict=True)
    image, seconds = np.stack(images) if isinstance(problem, Stack) else images[0], sum(times)
    figures = {**score(torch.from_numpy(np.ascontiguousarray(image)), problem), "seconds": seconds, "runs": 1}
    return as_record(case, key, peer.label, {"settings": settings, "weights": None}, figures)


def told(record: dict) -> str:
    f = record["figures"]
    shown = f"{f['psnr']:.2f} dB, SSIM {f['ssim']:.4f}, " if "psnr" in f else ""
    return f"{record['name']}  {record['label']}: {shown}residual {f['residual']:.3f}, {f['seconds']:.1f} s"


@lru_cache(maxsize=2)
def problem_of(data: Path, case: Case) -> Problem | Stack:
    return pose(data, case)


def make_peer(name: str, environment: Path) -> Peer:
    if name.startswith("bart"):
        term = {"bart-wavelet": "L1-wavelet", "bart-tv": "TV"}[name]
        solve = partial(_bart, term)
        return Peer(f"BART pics, {term}", bart.version(), bart.WEIGHTS, solve, strong=bart.STRONG)
    worker = Worker(name, install(name, environment))
    label = {"deepinv": "deepinv, TV by FISTA", "mrpro": "mrpro, L1-wavelet by PDHG"}[name]
    return Peer(label, worker.version, (3e-4, 1e-3, 3e-3, 1e-2), worker.solve, eightfold)


def eightfold(case: Case) -> bool:
    """Half a minute a slice and weight: lines and discs at R = 8 alone."""
    return case.acceleration == 8 and case.mask in ("uniform", "poisson") and case.group in (SIMULATED, REAL)


def _bart(term: str, problem: Problem, weight: float) -> tuple[np.ndarray, float]:
    return bart.reconstruct(problem, term, weight)


def install(name: str, environment: Path) -> Path:
    """Make the environment once; pip's own index settings decide what comes."""
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PACKAGES[name]], check=True)
    return python.absolute()


class Worker:
    """A process of the other environment that reconstructs what it is given, one after the other."""

    def __init__(self, name: str, python: Path) -> None:
        command = [str(python), str(HERE / f"worker_{name}.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._answer()["version"]

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the other tool ended with {self.process.wait()}; its message stands above")
        return json.loads(line)

    def solve(self, problem: Problem, weight: float) -> tuple[np.ndarray, float]:
        """Scaled so that the zero-filled image has maximum 1: the weight means the same for all data."""
        measurement = problem.measurement()
        scale = np.float32(measurement.operator.adjoint(measurement.y).abs().max())
        with tempfile.TemporaryDirectory() as folder:
            given, found = Path(folder) / "in.npz", Path(folder) / "out.npy"
            np.savez(given, y=problem.y / scale, maps=problem.maps, mask=problem.mask.keep)
            asked = {"input": str(given), "output": str(found), "weight": weight}
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
            seconds = self._answer()["seconds"]
            return np.load(found) * scale, seconds


if __name__ == "__main__":
    main()
