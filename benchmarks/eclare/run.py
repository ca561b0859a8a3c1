"""ECLARE, trained on the scan itself, on the same thick slices as `voxprior evaluate sr`, with the same figures.

It lives in an environment of its own: it is under the GPL and pins an old scipy, so the package never imports it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

from voxprior.evaluate.page import PAGE, RESULTS, peers, write_page
from voxprior.evaluate.record import as_record
from voxprior.evaluate.sr.degrade import Problem, Truth, thicken
from voxprior.evaluate.sr.measure import case_key, score
from voxprior.evaluate.sr.protocols import Case, sr_cases
from voxprior.io.nifti import read_volume
from voxprior.io.outputs import write_volume

ECLARE = "1.0.1"
TORCH = "2.13.0"
PROFILES = {"box": "rect", "gaussian": "gaussian"}
"""Our names of slice profiles in its words."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--case", default="ds002748_sub-70 x5 box A-P", help="name of a case, as evaluate prints it")
    parser.add_argument("--patches", type=int, default=1_000_000, help="training patches; its own default is a million")
    parser.add_argument("--batch", type=int, default=128, help="patches a step; its own default is 128")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--environment", type=Path, default=Path("runs/eclare-environment"))
    chosen = parser.parse_args()
    case = find_case(chosen.data, chosen.case)
    program = install(chosen.environment)
    problem = thicken(Truth.read(chosen.data, case), case)
    with tempfile.TemporaryDirectory() as folder:
        restored, seconds, memory = restore(program, problem, case, chosen.patches, chosen.batch, Path(folder))
    settings = {"version": ECLARE, "patches": chosen.patches, "batch": chosen.batch}
    figures = {
        **score(restored, problem),
        "seconds": seconds,
        "runs": 1,
        "peak_memory_bytes": memory,
        "network_calls": None,
        "voxels": problem.truth.size,
    }
    label = f"ECLARE {ECLARE}, {chosen.patches} patches"
    record = as_record(case, case_key(case, "eclare", settings), label, {"settings": settings}, figures)
    peers(chosen.out, "sr").append(record)
    write_page(chosen.page, chosen.out)
    print(f"{case.name}  {label}: {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.4f}, {seconds:.0f} s")


def find_case(data: Path, name: str) -> Case:
    whole = {case.name: case for case in sr_cases(data) if not case.crop}
    if name not in whole:
        raise SystemExit(f"no case {name!r}; there are:\n" + "\n".join(whole))
    return whole[name]


def install(environment: Path) -> Path:
    """Make the environment once; pip's own index settings decide which build of torch comes."""
    program = environment / "bin" / "run-eclare"
    if not program.exists():
        venv.create(environment, with_pip=True, clear=True)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, f"torch=={TORCH}", f"eclare=={ECLARE}"], check=True)
    return program.absolute()


def restore(
    program: Path, problem: Problem, case: Case, patches: int, batch: int, folder: Path
) -> tuple[np.ndarray, float, int]:
    """Train and apply; returns the volume on the truth's grid, seconds of the whole command, and its peak memory."""
    thick, out = folder / "thick.nii.gz", folder / "out"
    write_volume(thick, problem.thick)
    slices = problem.measurement.operator.slices
    finest = min(s for axis, s in enumerate(problem.thick.spacing) if axis != slices.axis)
    command = [
        *(str(program), "--in-fpath", str(thick), "--out-dir", str(out)),
        *("--n-patches", str(patches), "--batch-size", str(batch)),
        *("--relative-slice-thickness", f"{slices.thickness / finest:.4f}"),
        *("--relative-slice-profile-type", PROFILES[case.assumed]),
    ]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"run-eclare ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return on_truth_grid(out / "thick_eclare.nii.gz", problem), seconds, usage.ru_maxrss * unit


def on_truth_grid(path: Path, problem: Problem) -> np.ndarray:
    """Its voxels follow the finer in-plane spacing: a cubic spline in world coordinates brings them to the truth's."""
    found = read_volume(path)
    if found.data.shape == problem.truth.shape and np.allclose(found.affine, problem.affine, atol=1e-3):
        return np.array(found.data)
    to_found = np.linalg.inv(found.affine) @ problem.affine
    indices = np.indices(problem.truth.shape, dtype=np.float32).reshape(3, -1)
    places = to_found[:3, :3] @ indices + to_found[:3, 3:]
    values = map_coordinates(found.data, places, order=3, mode="nearest", output=np.float32)
    return values.reshape(problem.truth.shape)


if __name__ == "__main__":
    main()
