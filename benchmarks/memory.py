"""What every job and method takes: peak memory and time in processes of their own, on volumes that are generated.

    python benchmarks/memory.py [--only sr/tpdm] [--rows FILE.jsonl] [--check]

Runs the command line on ``SIZES``, fits the rows of ``voxprior.jobs.plan.TABLE``, and prints them to be put there. With
``--check`` it runs on ``OTHERS``, and prints how far the table in the code is off. A new row needs its ``calls`` and
``tile`` in the table, and here a size and a generated input of its job.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import torch
from scipy.optimize import nnls

from voxprior.jobs.needs import BINS
from voxprior.jobs.plan import TABLE, Row, Size, Way, counts, predict

Key = tuple[str, str, str | None]

ROOT = Path(__file__).resolve().parents[1]
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes; systems differ in what they count."""


MODULES = (
    *(f"voxprior.jobs.{name}" for name in ("sr_files", "recon_files", "ct_files", "ct_memory", "generate", "speed")),
    *(f"voxprior.methods.{name}" for name in ("voxprior", "tpdm", "hfs_sde", "kspace", "linear", "ct", "generate")),
    *("voxprior.cli.progress", "voxprior.report.html"),
)
"""What the runs import, more or less."""


@dataclass(frozen=True)
class Case:
    """A run: what is restored of which generated input, and how. ``size``: see the function of the job.

    ``whole``: with every network call, for the time; else calls are left out that cannot change the peak. ``fresh``:
    in a new process, for the base; else in one forked from a process that has imported all and computed nothing.
    """

    job: str
    method: str
    mode: str | None
    size: tuple[int, ...]
    options: tuple[tuple[str, int], ...] = ()
    whole: bool = False
    fresh: bool = False

    @property
    def key(self) -> str:
        words = [self.job, self.method, self.mode or "-", "x".join(map(str, self.size))]
        words += [f"{name}={value}" for name, value in self.options]
        return " ".join([*words, *(["whole"] if self.whole else []), *(["fresh"] if self.fresh else [])])


def head(shape: tuple[int, ...]) -> np.ndarray:
    """A bright ellipsoid with folds, in noise."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    radius = sum(a * a for a in axes)
    folds = 1 + 0.3 * np.sin(9 * axes[0]) * np.cos(7 * axes[-1])
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return np.where(radius < 0.7, folds, 0).astype(np.float32) * 100 + np.abs(3 * noise)


def thick_slices(folder: Path, size: tuple[int, ...]) -> Path:
    """``size``: rows, columns, slices, and how many fine voxels a slice is thick."""
    path = folder / "input.nii"
    nibabel.save(nibabel.Nifti1Image(head(size[:3]), np.diag([1.0, 1.0, size[3], 1.0])), path)
    return path


def kspace(folder: Path, size: tuple[int, ...]) -> Path:
    """``size``: slices, coils, rows, columns."""
    slices, coils, rows, columns = size
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    turns = 2 * np.pi * np.arange(coils) / coils
    maps = np.stack([np.exp(-((y - np.cos(t)) ** 2 + (x - np.sin(t)) ** 2) + 1j * (y + t)) for t in turns])
    images = head((slices, rows, columns))[:, None] * maps.astype(np.complex64)
    data = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(images, (2, 3)), axes=(2, 3), norm="ortho"), (2, 3))
    data[..., [k for k in range(columns) if k % 4 and abs(k - columns // 2) > 12]] = 0
    path = folder / "input.npz"
    np.savez(path, kspace=data.astype(np.complex64))
    return path


def views(folder: Path, size: tuple[int, ...]) -> Path:
    """``size``: slices, rows, columns, views."""
    from voxprior.jobs.ct_memory import simulate_views

    slices, rows, columns, count = size
    volume = head((rows, columns, slices)) * 10 - 1000
    path = folder / "input.npz"
    np.savez(path, **simulate_views(volume, voxel_size=(1.0, 1.0, 1.0), views=count, axis="k"))
    return path


def nothing(folder: Path, size: tuple[int, ...]) -> Path | None:
    """``size``: voxels to the right, front and top."""
    return None


INPUTS = {"sr": thick_slices, "recon": kspace, "ct": views, "generate": nothing}

SIZES = {
    "sr": ((96, 96, 10, 5), (144, 128, 20, 5), (192, 160, 28, 5)),
    "recon": ((2, 8, 128, 128), (12, 4, 192, 192), (3, 12, 256, 256)),
    "ct": ((4, 128, 128, 36), (24, 128, 128, 36), (6, 224, 224, 60)),
    "generate": ((64, 64, 64), (112, 112, 112), (144, 128, 112)),
}
"""Of the runs that the rows are fitted to."""
OTHERS = {
    "sr": ((128, 144, 16, 6), (192, 192, 40, 4)),
    "recon": ((2, 12, 320, 256), (10, 6, 224, 224)),
    "ct": ((12, 192, 192, 48), (16, 256, 256, 36)),
    "generate": ((96, 128, 96), (128, 160, 144)),
}
"""Of those that they are checked on."""
STEPS = {"hfs-sde": 20, "ve-sde": 20, "vp-sde": 20, "tpdm": 2, "voxprior": 3}
"""As few as a method takes: they change the time, and not the memory."""
COLUMNS = {
    "sr": ("voxel", "sample", "call", "beyond"),
    "recon": ("voxel", "sample", "datum", "held"),
    "ct": ("voxel", "sample", "held", "call", "beyond"),
    "generate": ("voxel", "sample", "call", "beyond"),
}
"""Coefficients of memory that are looked for; what is not here moves together with one that is."""


def cases(key: Key, check: bool = False) -> list[Case]:
    """The runs of a row's fit, or of its check."""
    job, method, _ = key
    row, sizes = TABLE[key], (OTHERS if check else SIZES)[job]
    steps = (("steps", STEPS[method]),) if method in STEPS and key != ("sr", "voxprior", "mean") else ()
    if (job, method) == ("recon", "tpdm"):  # it takes stacks
        sizes = tuple(size for size in sizes if size[0] > 1)
    if check:
        return [Case(*key, size, steps, fresh=True) for size in sizes]
    found = [Case(*key, size, steps) for size in sizes] + [Case(*key, sizes[0], steps, fresh=True)]
    if row.tile:
        found += [Case(*key, sizes[1], (*steps, ("memory", 128))), Case(*key, sizes[-1], (*steps, ("memory", 1600)))]
    if row.calls[0]:
        found.append(Case(*key, sizes[1], (*steps, ("samples", 4))))
    return [*found, Case(*key, sizes[0], steps, whole=True)]


def run(case: Case) -> dict[str, object]:
    """Peak memory of the process in bytes, seconds and network calls of its sidecar, and the rate of the machine."""
    with tempfile.TemporaryDirectory() as name:
        source = INPUTS[case.job](Path(name), case.size)
        target = Path(name, "output.npz" if case.job == "recon" else "output.nii")
        words = [case.job, "-o", str(target), "-q", "--method", case.method, "--threads", "1"]
        words += ["-i", str(source)] if source is not None else ["--shape", *map(str, case.size)]
        words += ["--mode", case.mode] if case.mode is not None else []
        for option, value in case.options:
            words += [f"--{option}", str(value)]
        if case.fresh:
            process = subprocess.Popen([sys.executable, __file__, "--child", str(int(case.whole)), *words]).pid
        else:
            process = os.fork()
            if process == 0:
                os._exit(child(case.whole, words))
        _, status, usage = os.wait4(process, 0)
        if code := os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{' '.join(words)} ended with {code}")
        values = json.loads(target.with_suffix(".json").read_text())
        rate = float(target.with_suffix(".rate").read_text()) if case.whole else None
    figures = {"peak": usage.ru_maxrss * MAXRSS_UNIT, "seconds": values["seconds"], "calls": values["network_calls"]}
    return {"key": case.key, **asdict(case), **figures, "rate": rate}


def child(whole: bool, words: list[str]) -> int:
    """The command line in this process, timed by the processor's clock: other work on the machine does not count.

    Without ``whole`` the network answers all but the first call of a kind with what it was given: the peak of memory
    has been seen by then.
    """
    from voxprior.cli.app import main as command
    from voxprior.jobs import job, speed
    from voxprior.priors.denoiser import Denoised, SlicePrior

    clock = SimpleNamespace(perf_counter=time.process_time)
    vars(job)["time"] = vars(speed)["time"] = clock
    seen: set[Any] = set()
    forward = SlicePrior.forward

    def short(self: SlicePrior, x: torch.Tensor, *rest: torch.Tensor) -> Denoised:
        kind = x.shape, x.requires_grad
        if kind not in seen:
            seen.add(kind)
            return forward(self, x, *rest)
        inner = x[:, self.config.halo : self.config.halo + self.config.slab]
        return Denoised(1.0 * inner, 0.01 + 0.0 * inner)

    if whole:
        torch.set_num_threads(1)
        target = Path(words[words.index("-o") + 1])
        target.with_suffix(".rate").write_text(str(speed.convolution_rate(1.0)))
    else:
        SlicePrior.forward = short  # type: ignore[method-assign]
    return command(words)


def preload() -> None:
    """Import what a run imports, and compute nothing: processes forked from here are as empty as new ones."""
    for name in MODULES:
        import_module(name)


def measured(chosen: list[Case], rows: Path | None) -> list[dict[str, object]]:
    """The figures of all cases; those in the file ``rows`` are not measured again, others are added to it."""
    known = {} if rows is None or not rows.exists() else {
        row["key"]: row for row in map(json.loads, rows.read_text().splitlines())
    }
    for case in chosen:
        if case.key in known:
            continue
        known[case.key] = run(case)
        print(case.key, f"{known[case.key]['peak'] / 2**20:.0f} MB {known[case.key]['seconds']:.1f} s", flush=True)
        if rows is not None:
            with rows.open("a") as stream:
                stream.write(json.dumps(known[case.key]) + "\n")
    return [known[case.key] for case in chosen]


def way_of(case: Case) -> Way:
    """What the planner is told of a case."""
    options = dict(case.options)
    drawn = options.get("samples", 1) if case.mode == "sample" or case.mode is None else 0
    return Way(case.job, case.method, case.mode, options.get("steps", 0), drawn, options.get("memory"))


def size_of(case: Case) -> Size:
    """The size that the planner finds of a case."""
    if case.job == "sr":
        rows, columns, slices, factor = case.size
        return Size((rows, columns, slices * factor), 1, rows * columns * slices)
    if case.job == "recon":
        slices, coils, *plane = case.size
        values = coils * math.prod(plane)
        if case.method == "tpdm":
            return Size((slices, *plane), 1, slices * values, slices * values)
        return Size(tuple(plane), slices, slices * values, values)
    if case.job == "ct":
        slices, rows, columns, count = case.size
        bins = round(BINS * max(rows, columns))
        return Size((rows, columns, slices), 1, slices * count * bins, rows * columns * count)
    return Size(case.size)


def fit(key: Key, rows: list[dict[str, Any]]) -> Row:
    """The row of a way: memory by least squares of what it is off, in parts of what was measured; and its work."""
    shape, columns = Row(0.0, calls=TABLE[key].calls, tile=TABLE[key].tile), COLUMNS[key[0]]
    names = Row._fields[1:7]
    chosen = [names.index(name) for name in columns]
    table, peaks = [], []
    for row in rows:
        case = case_of(row)
        if not case.whole:
            c = counts(way_of(case), size_of(case), shape)
            table.append([2**20, 2**20 * case.fresh, *(c[k] for k in chosen)])
            peaks.append(row["peak"])
    weights = 1 / np.array(peaks)
    found, _ = nnls(np.array(table) * weights[:, None], np.ones(len(peaks)))
    memory = {columns[k]: round(float(v), 1) for k, v in enumerate(found[2:])}
    base = round(float(found[0] + found[1])) * 2**20
    return shape._replace(base=base, **memory, **work(key, rows, shape))


def work(key: Key, rows: list[dict[str, Any]], shape: Row) -> dict[str, float]:
    """What takes the time, as one term of it, in multiply-adds of a bare convolution."""
    timed = [(counts(way_of(case), size_of(case), shape), row["seconds"] * row["rate"])
             for row in rows if (case := case_of(row)).whole]
    if not timed:
        return {}
    c, spent = timed[0]
    if c.network:
        return {"network": round(spent / c.network, 2)}
    return {"once": round(spent / c.once)} if key[0] == "sr" else {"start": round(spent / max(c.start, 1))}


def case_of(row: dict[str, Any]) -> Case:
    """The case of a stored row."""
    options = tuple((str(name), int(value)) for name, value in row["options"])
    fresh = row.get("fresh", True)
    return Case(row["job"], row["method"], row["mode"], tuple(row["size"]), options, row["whole"], fresh)


def compare(rows: list[dict[str, Any]]) -> list[str]:
    """How far the table in the code is off each measured peak."""
    lines = ["| run | measured, MB | predicted, MB | off |", "| --- | --- | --- | --- |"]
    for row in rows:
        case = case_of(row)
        plan = predict(way_of(case), size_of(case))
        if plan is not None and case.fresh and not case.whole:
            off = plan.memory / row["peak"] - 1
            lines.append(f"| {case.key} | {row['peak'] / 2**20:.0f} | {plan.memory / 2**20:.0f} | {100 * off:+.0f} % |")
    return lines

def main() -> None:
    """Measure, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows that begin so, such as sr/tpdm")
    parser.add_argument("--rows", type=Path, help="file of figures that are there already, and to add to")
    parser.add_argument("--check", action="store_true", help="compare the table in the code with other sizes")
    asked = parser.parse_args()
    preload()
    keys = [key for key in TABLE if "/".join(str(part) for part in key).startswith(asked.only)]
    for key in keys:
        rows = measured(cases(key, asked.check), asked.rows)
        if asked.check:
            print("\n".join(compare(rows)))
        else:
            values = ", ".join(f"{name}={value}" for name, value in fit(key, rows)._asdict().items() if value)
            print(f"    {key}: Row({values}),")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        raise SystemExit(child(sys.argv[2] == "1", sys.argv[3:]))
    main()
