"""What every job and method takes: peak memory and time in processes of their own, on volumes that are generated.

    python benchmarks/memory.py [--only sr/tpdm] [--rows FILE.jsonl] [--check] [--data FOLDER]

Runs the command line on ``sizes``, fits the rows of ``voxprior.jobs.rows.TABLE``, and prints them to be put there. With
``--check`` it runs on ``others`` and prints how far the table in the code is off; with ``--data`` on real scans, see
``REAL``, and writes the table of docs/scale.md. A new row needs its ``calls`` and ``tile`` in the table, and here a
size and a generated input of its job.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import nibabel
import numpy as np
import torch
from scipy.optimize import nnls

from voxprior.jobs.plan import Size, Way, counts, predict, way
from voxprior.jobs.room import resident
from voxprior.jobs.rows import TABLE, Key, Row
from voxprior.operators.coil_simulation import simulate_maps

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes; systems differ in what they count."""
POLL = 0.01
"""Seconds between two looks at a process: pages of a peak that is over sooner than that are few."""
MODULES = (
    *(f"voxprior.jobs.{name}" for name in ("sr_files", "enhance_files", "recon_files", "ct_files", "generate")),
    *(f"voxprior.methods.{name}" for name in ("enhance", "mri_sr", "os_ddpm", "hfs_sde", "kspace", "linear", "ct")),
    *("voxprior.methods.generate", "voxprior.jobs.speed", "voxprior.cli.progress", "voxprior.report.html"),
)
"""What the runs import, more or less."""
FAINT = 1.0
"""Noise of generated k-space, of an image of 100."""


@dataclass(frozen=True)
class Case:
    """A run: what is restored of which generated input, and how. ``size``: see the function of the job.

    ``whole``: with every network call, for the time; else calls are left out that cannot change the peak. ``fresh``:
    in a new process, for the base; else in one forked from a process that has imported all and computed nothing.
    """

    key: Key
    size: tuple[int, ...]
    options: tuple[tuple[str, int], ...] = ()
    whole: bool = False
    fresh: bool = False

    @property
    def name(self) -> str:
        """Words that no other case has."""
        words = [*(part or "-" for part in self.key), "x".join(map(str, self.size))]
        words += [f"{name}={value}" for name, value in self.options]
        return " ".join([*words, *(["whole"] if self.whole else []), *(["fresh"] if self.fresh else [])])

    @property
    def words(self) -> list[str]:
        """Of the command line, without input and output."""
        job, method, mode, network = self.key
        words = [job, "--method", method, *(["--mode", mode] if mode is not None else [])]
        if network is not None:
            words += ["--planes" if method == "voxprior" else "--network", network]
        return words + [word for name, value in self.options for word in (f"--{name}", str(value))]


def head(shape: tuple[int, ...]) -> np.ndarray:
    """A bright ellipsoid with folds, in noise."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    radius = sum(a * a for a in axes)
    folds = 1 + 0.3 * np.sin(9 * axes[0]) * np.cos(7 * axes[-1])
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return np.where(radius < 0.7, folds, 0).astype(np.float32) * 100 + np.abs(3 * noise)


def thick_slices(folder: Path, size: tuple[int, ...]) -> list[str]:
    """``size``: rows, columns, slices, and how many fine voxels a slice is thick."""
    nibabel.save(nibabel.Nifti1Image(head(size[:3]), np.diag([1.0, 1.0, size[3], 1.0])), folder / "input.nii")
    return ["-i", str(folder / "input.nii")]


def coarse_voxels(folder: Path, size: tuple[int, ...]) -> list[str]:
    """``size``: rows, columns, slices; rows and columns become twice as many."""
    nibabel.save(nibabel.Nifti1Image(head(size), np.diag([2.0, 2.0, 1.0, 1.0])), folder / "input.nii")
    return ["-i", str(folder / "input.nii")]


def kspace(folder: Path, size: tuple[int, ...]) -> list[str]:
    """``size``: slices, coils, rows, columns; a line in four, and 24 in the middle."""
    slices, coils, rows, columns = size
    rng = np.random.default_rng(0)
    images = head((slices + 2, rows, columns))[1:-1, None] * simulate_maps((rows, columns), coils, rng)
    data = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(images, (2, 3)), axes=(2, 3), norm="ortho"), (2, 3))
    data += FAINT * (rng.standard_normal(data.shape) + 1j * rng.standard_normal(data.shape))
    data[..., [k for k in range(columns) if k % 4 and abs(k - columns // 2) > 12]] = 0
    np.savez(folder / "input.npz", kspace=data.astype(np.complex64))
    return ["-i", str(folder / "input.npz")]


def views(folder: Path, size: tuple[int, ...]) -> list[str]:
    """``size``: slices, rows, columns, views."""
    from voxprior.jobs.ct_memory import simulate_views

    slices, rows, columns, count = size
    volume = head((rows, columns, slices)) * 10 - 1000
    taken = simulate_views(volume, voxel_size=(1.0, 1.0, 1.0), views=count, axis="k")
    np.savez(folder / "input.npz", **taken)
    return ["-i", str(folder / "input.npz")]


def nothing(folder: Path, size: tuple[int, ...]) -> list[str]:
    """``size``: voxels to the right, front and top."""
    return ["--shape", *map(str, size)]


class Kind(NamedTuple):
    """Inputs of a job: what makes them, the sizes that rows are fitted to, and ``others`` that they are checked on.

    ``columns``: coefficients of memory that are looked for; what is not there moves together with one that is.
    """

    make: Callable[[Path, tuple[int, ...]], list[str]]
    sizes: tuple[tuple[int, ...], ...]
    others: tuple[tuple[int, ...], ...]
    columns: tuple[str, ...]


CALLS = ("voxel", "sample", "call", "beyond")
REPEATS = 2
"""Of new processes, which differ by some per cent, as memory happens to lie."""
KINDS = {
    "sr": Kind(
        thick_slices,
        ((96, 96, 10, 5), (144, 128, 20, 5), (184, 223, 36, 5), (184, 181, 44, 5), (192, 160, 28, 5)),
        ((128, 144, 16, 6), (192, 192, 40, 4)), CALLS,
    ),
    "enhance": Kind(
        coarse_voxels, ((48, 48, 50), (72, 64, 100), (96, 80, 150)), ((64, 72, 96), (96, 96, 140)), CALLS
    ),
    "recon": Kind(
        kspace, ((2, 8, 128, 128), (6, 4, 192, 192), (16, 2, 128, 96), (2, 12, 256, 256)),
        ((2, 12, 320, 256), (6, 6, 224, 224)), ("voxel", "sample", "held", "solved"),
    ),
    "ct": Kind(
        views, ((4, 128, 128, 36), (24, 128, 128, 36), (6, 224, 224, 60)), ((12, 192, 192, 48), (16, 256, 256, 36)),
        ("voxel", "sample", "held", "call", "beyond"),
    ),
    "generate": Kind(
        nothing, ((64, 64, 64), (112, 112, 112), (144, 128, 112)), ((96, 128, 96), (128, 160, 144)), CALLS
    ),
}
STACK = ("sample", "datum", "solved", "call", "beyond")
"""Those of k-space that is reconstructed as a stack."""
STEPS = {"hfs-sde": 20, "ve-sde": 20, "vp-sde": 20, "mri-sr": 3, "tpdm": 2, "voxprior": 3}
"""As few as a method takes: they change the time, and not the memory."""


def cases(key: Key, check: bool = False) -> list[Case]:
    """The runs of a row's fit, or of its check."""
    job, method, mode, _ = key
    row, kind = TABLE[key], KINDS[job]
    walks = method in STEPS and ((job, mode) in (("recon", "mean"), ("ct", "mean")) or mode in ("sample", None))
    steps = (("steps", STEPS[method]),) if walks else ()
    if check:
        return [Case(key, size, steps, fresh=True) for size in kind.others]
    sizes = kind.sizes
    found = [Case(key, size, steps) for size in sizes] + [Case(key, sizes[0], steps, fresh=True)]
    if row.tile:
        found += [Case(key, sizes[1], (*steps, ("memory", 128))), Case(key, sizes[-1], (*steps, ("memory", 1600)))]
    if row.calls[0] or mode == "one-step":
        found.append(Case(key, sizes[1], (*steps, ("samples", 4))))
    return [*found, Case(key, sizes[0], steps, whole=True)]


def run(case: Case) -> dict[str, Any]:
    """The figures of a case."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source: list[str] = []
        if (process := os.fork()) == 0:  # what makes the input leaves its memory with nobody
            (folder / "words").write_text(json.dumps(KINDS[case.key[0]].make(folder, case.size)))
            os._exit(0)
        os.wait4(process, 0)
        source = json.loads((folder / "words").read_text())
        return {"name": case.name, **asdict(case), **measured(case.words + source, folder, case.whole, case.fresh)}


def measured(words: list[str], folder: Path, whole: bool, fresh: bool) -> dict[str, Any]:
    """Bytes at the peak, seconds of the sidecar, the machine's rate, and the way and size that the planner was told."""
    target = folder / ("output.npz" if words[0] == "recon" else "output.nii")
    words = [*words, "-o", str(target), "-q", "--threads", "1", "--device", "cpu"]
    if fresh:
        process = subprocess.Popen([sys.executable, __file__, "--child", str(int(whole)), *words]).pid
    elif (process := os.fork()) == 0:
        os._exit(child(whole, words))
    peak = 0
    while (ended := os.wait4(process, os.WNOHANG))[0] == 0:
        peak = max(peak, resident(process) or 0)
        time.sleep(POLL)
    if code := os.waitstatus_to_exitcode(ended[1]):
        raise SystemExit(f"{' '.join(words)} ended with {code}")
    seconds = json.loads(target.with_suffix(".json").read_text())["seconds"]
    told = json.loads(target.with_suffix(".told").read_text())
    return {"peak": peak or ended[2].ru_maxrss * MAXRSS_UNIT, "seconds": seconds, **told}


def child(whole: bool, words: list[str]) -> int:
    """The command line in this process, timed by the processor's clock: other work on the machine does not count.

    Without ``whole`` a network answers all but the first call of a kind with what it was given: the peak of memory
    has been seen by then.
    """
    from voxprior.cli.app import main as command
    from voxprior.jobs import job, speed
    from voxprior.priors.denoiser import Denoised, SlicePrior
    from voxprior.priors.volume import VolumePrior

    clock = SimpleNamespace(perf_counter=time.process_time)
    vars(job)["time"] = vars(speed)["time"] = clock
    place = Path(words[words.index("-o") + 1]).with_suffix(".told")
    torch.set_num_threads(1)
    told = {"rate": speed.convolution_rate(1.0) if whole else None}
    fitting = job.run_fitting

    def listening(restore: Any, values: Any, name: str, options: Any, size: Size) -> Any:
        if not place.exists():
            planned = {"way": asdict(way(name, options, values)), "size": asdict(size)}
            place.write_text(json.dumps({**told, **planned}))
        return fitting(restore, values, name, options, size)

    vars(job)["run_fitting"] = listening
    seen: set[Any] = set()

    def shortened(forward: Callable[..., Denoised]) -> Callable[..., Denoised]:
        def short(self: Any, x: torch.Tensor, *rest: torch.Tensor) -> Denoised:
            kind = type(self), x.shape, x.requires_grad
            if kind not in seen:
                seen.add(kind)
                return forward(self, x, *rest)
            halo = getattr(self.config, "halo", 0)
            inner = x[:, halo : x.shape[1] - halo]
            return Denoised(1.0 * inner, 0.01 + 0.0 * inner)

        return short

    if not whole:
        for network in (SlicePrior, VolumePrior):
            network.forward = shortened(network.forward)  # type: ignore[assignment, method-assign]
    return command(words)


def figures(chosen: list[Case], rows: Path | None) -> list[dict[str, Any]]:
    """Those of all cases; those in the file ``rows`` are not measured again, others are added to it."""
    known = {} if rows is None or not rows.exists() else {
        row["name"]: row for row in map(json.loads, rows.read_text().splitlines())
    }
    for case in chosen:
        if case.name in known:
            continue
        again = REPEATS if case.fresh else 1  # a prediction is of the most that a run takes
        known[case.name] = max((run(case) for _ in range(again)), key=lambda row: row["peak"])
        print(case.name, f"{known[case.name]['peak'] / 2**20:.0f} MB {known[case.name]['seconds']:.1f} s", flush=True)
        if rows is not None:
            with rows.open("a") as stream:
                stream.write(json.dumps(known[case.name]) + "\n")
    return [known[case.name] for case in chosen]


def planned(row: dict[str, Any]) -> tuple[Way, Size]:
    """What the planner was told of a stored row."""
    size = {name: tuple(value) if isinstance(value, list) else value for name, value in row["size"].items()}
    return Way(**row["way"]), Size(**size)


def alike(key: Key) -> tuple[Any, ...]:
    """What ways have in common that take memory alike, so that they share what is fitted to all of them."""
    row = TABLE[key]
    return key[0], key[1] if any(row.calls) else None, row.tile, key[3]


def fit(keys: list[Key], rows: list[dict[str, Any]]) -> Row:
    """The memory of ways that are alike, by least squares of what it is off, in parts of what was measured."""
    job, method, *_ = keys[0]
    columns = KINDS[job].columns if (job, method) != ("recon", "tpdm") else STACK
    names = Row._fields[1:8]
    chosen = [names.index(name) for name in columns]
    few = [row for row in rows if not row["whole"]]
    told = [counts(*planned(row), TABLE[tuple(row["key"])]) for row in few]
    table = np.array([[2**20, 2**20 * row["fresh"], *(c[k] for k in chosen)] for row, c in zip(few, told, strict=True)])
    weights = 1 / np.array([row["peak"] for row in few])
    found, _ = nnls(table * weights[:, None], np.ones(len(few)))
    memory = {columns[k]: round(float(v), 1) for k, v in enumerate(found[2:])}
    print("    off, %:", (100 * (table @ found * weights - 1)).round().astype(int).tolist())
    return Row(round(float(found[0] + found[1])) * 2**20, **memory)


def work(key: Key, rows: list[dict[str, Any]]) -> dict[str, float]:
    """What takes the time, as one term of it, in multiply-adds of a bare convolution."""
    row = next(row for row in rows if row["whole"] and tuple(row["key"]) == key)
    c, spent = counts(*planned(row), TABLE[key]), row["seconds"] * row["rate"]
    if c.network:
        return {"network": round(spent / c.network, 2)}
    return {"start": round(spent / c.start)} if key[0] in ("recon", "ct") else {"once": round(spent / c.once)}


def compare(rows: list[dict[str, Any]]) -> list[str]:
    """How far the table in the code is off each measured peak."""
    lines = ["| run | measured, MB | predicted, MB | off |", "| --- | --- | --- | --- |"]
    for row in rows:
        plan = predict(*planned(row))
        assert plan is not None
        off = 100 * (plan.memory / row["peak"] - 1)
        lines.append(f"| {row['name']} | {row['peak'] / 2**20:.0f} | {plan.memory / 2**20:.0f} | {off:+.0f} % |")
    return lines


HEADS = "test/ds000011_sub-12_T1w.nii.gz", "test/niivue_stroke_FLAIR.nii.gz", "test/rorden_nmbitmap_T1w.nii.gz"
REAL = (
    *((f"sr --simulate --mode {mode}", scan) for scan in HEADS for mode in ("mean", "one-step")),
    *(("enhance --simulate --mode mean", scan) for scan in HEADS),
    ("recon --simulate --mask uniform:4:24 --steps 4", HEADS[0]),
    ("ct --simulate --steps 4", "ct/totalseg_abdomen_CT_3mm.nii.gz"),
)
"""Command lines on real scans, whole, and where they lie in the folder of ``--data``."""


def real(data: Path) -> list[dict[str, Any]]:
    """The figures of ``REAL``."""
    found = []
    for words, scan in REAL:
        with tempfile.TemporaryDirectory() as name:
            row = measured([*words.split(), "-i", str(data / scan)], Path(name), whole=True, fresh=True)
        found.append({"name": f"`{words}` {Path(scan).name.removesuffix('.nii.gz')}", **row})
        print(compare(found)[-1], flush=True)
    return found


def write(lines: list[str]) -> None:
    """Replace the table of the page."""
    text = PAGE.read_text()
    begin, end = text.index("<!-- memory.py -->\n"), text.index("<!-- end -->", text.index("<!-- memory.py -->"))
    PAGE.write_text(text[:begin] + "\n".join(["<!-- memory.py -->", *lines, ""]) + text[end:])


def main() -> None:
    """Measure, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[""], help="rows that begin so, such as sr/tpdm")
    parser.add_argument("--rows", type=Path, help="file of figures that are there already, and to add to")
    parser.add_argument("--check", action="store_true", help="compare the table in the code with other sizes")
    parser.add_argument("--data", type=Path, help="compare it with the scans of REAL in this folder, for the page")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        # A matrix of X-ray views is built as on the first run, which takes more than to read it.
        os.environ.update(VOXPRIOR_CACHE=empty, VOXPRIOR_CACHE_MB="0")
        if asked.data is not None:
            write(compare(real(asked.data)))
            return
        for name in MODULES:  # processes forked from here are as empty as new ones
            import_module(name)
        asked_for = [key for key in TABLE if "/".join(map(str, key)).startswith(tuple(asked.only))]
        for family in dict.fromkeys(map(alike, asked_for)):
            keys = [key for key in asked_for if alike(key) == family]
            rows = [row for key in keys for row in figures(cases(key, asked.check), asked.rows)]
            if asked.check:
                print("\n".join(compare(rows)), flush=True)
                continue
            print(fit(keys, rows), flush=True)
            for key in keys:
                print(f"    {key}:", work(key, rows), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        raise SystemExit(child(sys.argv[2] == "1", sys.argv[3:]))
    main()
