"""``voxprior recon``: files in, files out, proofs, and what goes wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import scans

KEYS = {
    *("versions", "weights", "settings", "seed", "certificate", "residual", "seconds", "peak_memory_bytes"),
    *("network_calls", "inputs", "outputs", "warnings", "job", "notice", "acceleration"),
}
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 2, 0, -40], [0, 0, 5, 3], [0, 0, 0, 1]])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Two fully sampled slices with a place in space, little noise, and their maps."""
    made = [scans.scan(shift=shift, noise=1e-5) for shift in (0.0, 0.6)]
    kspace, maps = np.stack([m.kspace for m in made]), made[0].maps
    np.savez(tmp_path / "full.npz", kspace=kspace, affine=AFFINE, maps=maps)
    return tmp_path / "full.npz"


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """One undersampled slice with a calibration region, no maps."""
    data = scans.scan(noise=1e-3).kspace * scans.lines(48, 3, 20)
    np.savez(tmp_path / "one.npz", kspace=data)
    return tmp_path / "one.npz"


def sidecar(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def test_undersampled_kspace_becomes_an_image_its_maps_and_a_proof(voxprior, one: Path) -> None:
    """Guards the promised files, arrays and keys; the acceleration is told; no absolute path is among them."""
    folder = one.parent
    ran = voxprior("recon", "-i", one, "-o", folder / "out.npz", "--method", "sense")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("out.npz: acceleration 1.66 (data), restored in ")
    assert names(folder) == {"one.npz", "out.npz", "out.json", "out_invented.npz", "out_preview.png"}
    text = (folder / "out.json").read_text()
    values = json.loads(text)
    assert set(values) == KEYS
    assert str(folder) not in text
    assert values["inputs"] == ["one.npz"]
    assert values["outputs"] == ["out.npz", "out_invented.npz", "out_preview.png"]
    assert values["acceleration"]["true"] == pytest.approx(48 / 29)
    assert values["certificate"]["noise_source"] == "kspace"
    assert values["settings"]["method"] == "sense"
    with np.load(folder / "out.npz") as held:
        assert held["image"].shape == (40, 48) and held["image"].dtype == np.complex64
        assert held["maps"].shape == (5, 40, 48)
        assert held["mask"].dtype == bool and held["mask"].shape == (40, 48)
    assert voxprior("verify", folder / "out.npz").out.endswith("verified\n")


def test_full_data_give_the_sense_image_back_through_the_command(voxprior, full: Path) -> None:
    """Guards the whole chain to 1e-5: file, maps, operator, solver, file."""
    out = full.with_name("out.npz")
    assert voxprior("recon", "-q", "-i", full, "-o", out, "--method", "sense").code == 0
    with np.load(full) as given, np.load(out) as found:
        maps, kspace = given["maps"], given["kspace"]
        coil_images = scans.fourier(kspace.conj(), (2, 3)).conj()
        sense = (maps.conj() * coil_images).sum(axis=1)
        assert np.linalg.norm(found["image"] - sense) < 1e-5 * np.linalg.norm(sense)
    assert sidecar(full.with_name("out.json"))["acceleration"]["true"] == 1


@pytest.mark.parametrize("suffix", [".npz", ".nii", ".nii.gz", ".h5", ".cfl"])
def test_every_format_holds_the_same_image_and_proves_it(voxprior, full: Path, suffix: str) -> None:
    """Guards the formats: axes, magnitude or complex, affine, both halves of BART's pairs, and verify for each."""
    folder = full.parent
    words = ("recon", "-q", "-i", full, "--mask", "uniform:3:20", "--method", "sense", "-o")
    assert voxprior(*words, folder / "ref.npz").code == 0
    assert voxprior(*words, folder / f"out{suffix}").code == 0
    with np.load(folder / "ref.npz") as held:
        image = held["image"]
    np.testing.assert_allclose(np.abs(read(folder / f"out{suffix}")), np.abs(image), atol=1e-6)
    invented = read(folder / f"out_invented{suffix}")
    assert invented.shape == image.shape
    with np.load(folder / "ref_invented.npz") as held:
        assert (np.abs(invented) <= np.abs(held["invented"]) + 1e-6).all()
    listed = set(sidecar(folder / "out.json")["outputs"]) | {"out.json"}
    assert {name for name in names(folder) if name.startswith("out")} == listed
    ran = voxprior("verify", folder / f"out{suffix}")
    assert ran.code == 0, ran.out


def read(path: Path) -> np.ndarray:
    """The array in a file of any format, ([slice,] y, x), by readers of others."""
    if path.suffix == ".npz":
        with np.load(path) as held:
            (name,) = {"image", "invented"} & set(held.files)
            return held[name]
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            (name,) = file
            return np.asarray(file[name])
    if path.suffix == ".cfl":
        sizes = [int(n) for n in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
        data = np.fromfile(path, np.complex64).reshape(sizes, order="F")
        assert [n for n in sizes if n > 1] == [40, 48, 2]
        assert sizes[13] == 2
        return np.moveaxis(data.squeeze(), -1, 0)
    image = nib.load(path)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    return np.asarray(image.dataobj).T


def test_the_interval_and_the_phase_are_written_where_there_are_any(voxprior, full: Path, monkeypatch) -> None:
    """Guards the maps of methods with an uncertainty: std, bounds about the magnitude, samples, phase."""
    folder = full.parent
    known = with_samples(monkeypatch)
    words = ("recon", "-q", "-i", full, "--method", "known", "--mask", "uniform:3:20", "--samples", "2")
    assert voxprior(*words, "-o", folder / "o.nii", "--phase").code == 0
    image, std, phase = (nib.load(folder / f"o{tag}.nii").get_fdata() for tag in ("", "_std", "_phase"))
    low, high = np.moveaxis(nib.load(folder / "o_interval.nii").get_fdata(), -1, 0)
    np.testing.assert_allclose((low + high) / 2, image, atol=1e-5)
    assert (high >= low).all()
    assert phase.max() <= np.pi + 1e-6
    np.testing.assert_allclose(std, known, atol=1e-6)
    samples = [nib.load(folder / f"o_sample-0{k}.nii").get_fdata() for k in (1, 2)]
    np.testing.assert_allclose(samples[1], 1.1 / 0.9 * samples[0], atol=1e-5)
    assert voxprior(*words, "-o", folder / "p.npz", "--phase").code == 2
    assert voxprior(*words, "-o", folder / "p.npz").code == 0
    with np.load(folder / "p.npz") as held:
        assert held["std"].shape == (2, 40, 48)
    assert np.load(folder / "p_interval.npz")["interval"].shape == (2, 2, 40, 48)
    assert np.load(folder / "p_sample-02.npz")["image"].dtype == np.complex64


def with_samples(monkeypatch: pytest.MonkeyPatch) -> float:
    """Register a method ``known`` with a std and two samples about the adjoint; returns the std."""
    import types

    import torch

    from voxprior import registry
    from voxprior.methods.baselines import NoOptions
    from voxprior.methods.result import Result

    class Options(NoOptions):
        samples: int = 1

    class Known:
        name, citation = "known", "this test"

        def __call__(self, measurement, options, rng, progress=None):  # type: ignore[no-untyped-def]
            x = measurement.operator.adjoint(measurement.y)[0]
            return Result(x, torch.full(x.shape, 0.25), torch.stack([0.9 * x, 1.1 * x][: options.samples]))

    Known.Options = Options  # type: ignore[attr-defined]
    module = types.ModuleType("known_method")
    module.known = Known()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "known_method", module)
    monkeypatch.setitem(registry.METHODS["recon"], "known", "known_method:known")  # type: ignore[arg-type]
    return 0.25


def test_simulation_undersamples_and_compares(voxprior, full: Path) -> None:
    """Guards --simulate for k-space: fastMRI's figures against the references, and the original file is the input."""
    folder = full.parent
    words = ("recon", "-i", full, "-o", folder / "o.npz", "--simulate", "--mask", "uniform:4:16", "--method", "sense")
    ran = voxprior(*words)
    assert ran.code == 0, ran.err
    values = sidecar(folder / "o.json")
    assert set(values) == KEYS | {"comparison"}
    figures = values["comparison"]["methods"]
    assert set(figures) == {"zero-filled", "sense"}
    assert figures["sense"]["psnr"] > figures["zero-filled"]["psnr"] + 3
    assert set(figures["sense"]) == {"psnr", "ssim", "nmse"}
    assert values["comparison"]["against_root_sum_of_squares"]["sense"]["psnr"] > 20
    assert "nominal 4, ACS 16" in ran.out
    assert "  sense: PSNR " in ran.out
    assert values["certificate"]["input"] == "full.npz"
    assert voxprior("verify", folder / "o.npz").code == 0


def test_simulation_from_images_of_one_coil(voxprior, tmp_path: Path) -> None:
    """Guards --simulate for volumes and .npy slices: single coil, slices along the coarsest axis, k-space written."""
    i, j, k = np.indices((26, 30, 3))
    data = np.exp(-(((i - 12) / 7) ** 2) - ((j - 14) / 9) ** 2).astype(np.float32) * (k + 1)
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "fine.nii.gz")
    words = ("--simulate", "--mask", "uniform:2:10", "--method", "zero-filled")
    assert voxprior("recon", "-q", "-i", tmp_path / "fine.nii.gz", "-o", tmp_path / "o.nii", *words).code == 0
    found = nib.load(tmp_path / "o.nii")
    assert found.shape == (26, 30, 3)
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-5)
    assert np.corrcoef(np.asarray(found.dataobj).ravel(), data.ravel())[0, 1] > 0.97
    assert sidecar(tmp_path / "o.json")["certificate"]["input"] == "o_input.npz"
    assert voxprior("verify", tmp_path / "o.nii").code == 0
    (tmp_path / "slices").mkdir()
    for n in range(2):
        np.save(tmp_path / "slices" / f"{n:03d}.npy", data[..., n])
    ran = voxprior("recon", "-i", tmp_path / "slices", "-o", tmp_path / "p.npz", *words)
    assert ran.code == 0, ran.err
    assert voxprior("verify", tmp_path / "p.npz").code == 0


def test_a_volume_is_reconstructed_as_one(voxprior, tmp_path: Path) -> None:
    """Guards 3-D files through the command."""
    made = scans.volume()
    np.savez(tmp_path / "v.npz", kspace=made.kspace[None], maps=made.maps)
    words = ("-i", tmp_path / "v.npz", "-o", tmp_path / "o.npz", "--method", "sense", "--mask", "poisson:2:8")
    ran = voxprior("recon", *words)
    assert ran.code == 0, ran.err
    with np.load(tmp_path / "o.npz") as held:
        assert held["image"].shape == (10, 16, 24)
        assert held["maps"].shape == (3, 10, 16, 24)
    assert voxprior("verify", tmp_path / "o.npz").code == 0


def test_the_default_method_tells_its_uncertainty_and_repeats_for_a_seed(voxprior, one: Path) -> None:
    """Guards the method with a network: weights named, std and interval; samples that a seed determines."""
    folder = one.parent
    assert voxprior("recon", "-q", "-i", one, "-o", folder / "m.npz", "--steps", "3").code == 0
    values = sidecar(folder / "m.json")
    assert set(values["weights"]) == {"name", "sha256"}
    assert values["network_calls"] > 0
    assert {"m_std.npz", "m_interval.npz", "m_invented.npz"} <= set(values["outputs"])
    with np.load(folder / "m.npz") as held:
        assert (held["std"] > 0).any()
    samples = ("--samples", "2", "--steps", "3", "--seed")
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert voxprior("recon", "-q", "-i", one, "-o", folder / f"{name}.npz", *samples, seed).code == 0
    assert sidecar(folder / "a.json")["settings"]["mode"] == "sample"
    drawn = [np.load(folder / f"{name}_sample-02.npz")["image"] for name in "abc"]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 0
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()
    assert voxprior("verify", folder / "a.npz").code == 0


def test_existing_outputs_are_kept_until_force_and_stale_maps_go(voxprior, one: Path) -> None:
    """Guards overwriting, as in sr; the other files that a format brings are among those that are looked at."""
    folder = one.parent
    words = ("recon", "-q", "-i", one, "-o", folder / "out.nii", "--method", "sense")
    (folder / "out_certificate.npz").write_bytes(b"precious")
    ran = voxprior(*words)
    assert ran.code == 2
    assert "out_certificate.npz: exists already" in ran.err
    assert voxprior(*words, "--phase", "--force").code == 0
    assert (folder / "out_phase.nii").exists()
    assert voxprior(*words, "--force").code == 0
    assert not (folder / "out_phase.nii").exists()
    assert voxprior("verify", folder / "out.nii").code == 0


def test_a_folder_is_done_file_by_file(voxprior, one: Path) -> None:
    """Guards batches: own names, another suffix where the input's is no output's, a bad member listed, code 1."""
    scans_of = one.parent / "in"
    scans_of.mkdir()
    with np.load(one) as held:
        np.save(scans_of / "b.npy", held["kspace"])
        np.savez(scans_of / "c.npz", kspace=held["kspace"].real)
    one.rename(scans_of / "a.npz")
    report = one.parent / "r.html"
    ran = voxprior("recon", "-i", scans_of, "-o", one.parent / "out", "--method", "sense", "--report", report)
    assert ran.code == 1
    assert "1 of 3 scans failed: c.npz" in ran.err
    assert {"a.npz", "b.npz", "a.json", "b.json"} <= names(one.parent / "out")
    assert report.read_text().count("<section>") == 2


def damaged(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data)


def arrays(**named: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **named)


K = scans.scan((24, 24), 3).kspace
BAD: dict[str, tuple[str, Callable[[Path], None], tuple[str, ...], str]] = {
    "missing": ("none.npz", lambda path: None, (), "no such file"),
    "kind": ("in.txt", damaged(b"x"), (), "not the name of a k-space file"),
    "image": ("in.nii.gz", damaged(b"x"), (), "--simulate"),
    "no calibration": ("in.npz", arrays(kspace=K * (np.arange(24) % 3 == 0)), (), "maps"),
    "NaN": ("in.npz", arrays(kspace=np.where(np.arange(24) == 3, np.nan, K)), (), "NaN"),
    "all zero": ("in.npz", arrays(kspace=0 * K), (), "zero"),
    "two reals": ("in.npz", arrays(kspace=np.stack([K.real, K.imag], -1)), (), "complex"),
    "real": ("in.npz", arrays(kspace=np.abs(K)), (), "complex"),
    "truncated h5": ("in.h5", damaged(b"\x89HDF\r\n\x1a\n" + bytes(60)), (), "in.h5"),
    "coils of maps": ("in.npz", arrays(kspace=K, maps=K[:2]), (), "coils"),
    "shape of mask": ("in.npz", arrays(kspace=K, mask=np.ones((20, 24))), (), "does not fit"),
    "lines of mask": ("in.npz", arrays(kspace=K * (np.arange(24) != 12), mask=np.ones((24, 24))), (), "zero"),
    "mask again": ("in.npz", arrays(kspace=K * (np.arange(24) % 3 != 1)), ("--mask", "uniform:2:8"), "undersampled"),
    "mask name": ("in.npz", arrays(kspace=K), ("--mask", "star:2:8"), "star is unknown"),
    "mask that cannot be": ("in.npz", arrays(kspace=K), ("--mask", "uniform:4:99"), "ACS"),
    "mask file": ("in.npz", arrays(kspace=K), ("--mask", "none.npy"), "no such file"),
    "maps file": ("in.npz", arrays(kspace=K), ("--maps", "none.npz"), "no such file"),
    "too many coils": ("in.npz", arrays(kspace=K), ("--coils", "9"), "more than the 3 coils"),
    "method": ("in.npz", arrays(kspace=K), ("--method", "magic"), "--method magic is unknown"),
    "mode": ("in.npz", arrays(kspace=K), ("--mode", "mean"), "--mode belongs to"),
    "report": ("in.npz", arrays(kspace=K), ("--report", "r.txt"), "must end in .html"),
    "frames": ("in.npz", arrays(kspace=K), ("--frames", "1"), "Unknown option"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_code_2(voxprior, tmp_path: Path, name: str) -> None:
    """Guards the list of bad inputs and options: one line, no traceback, no file left."""
    source, make, options, expected = BAD[name]
    make(tmp_path / source)
    before = names(tmp_path)
    method = () if "--method" in options else ("--method", "sense")
    ran = voxprior("recon", "-i", tmp_path / source, "-o", tmp_path / "out.npz", *method, *options)
    assert ran.code == 2, ran.err
    assert ran.err.startswith("voxprior: error: ")
    assert ran.err.count("\n") == 1
    assert expected in ran.err
    assert names(tmp_path) == before


@pytest.mark.parametrize("output", ["out", "out.txt", "out.mgz", "no/out.npz", "one.npz"])
def test_outputs_that_cannot_be_written_are_refused(voxprior, one: Path, output: str) -> None:
    """Guards the target: a known suffix, a folder that exists, never the input."""
    before = one.read_bytes()
    ran = voxprior("recon", "-i", one, "-o", one.parent / output, "--method", "sense", "--force")
    assert ran.code == 2
    assert names(one.parent) == {"one.npz"}
    assert one.read_bytes() == before


def test_mistakes_are_told_before_torch_is_imported(one: Path) -> None:
    """Guards the order of work: opening, masks and names need numpy alone."""
    probe = (
        "import sys; from voxprior.cli.app import main\n"
        "for words in sys.argv[1:]:\n"
        "    assert main(['recon', *words.split()]) == 2, words\n"
        "assert 'torch' not in sys.modules"
    )
    mistakes = ["-i none.npz -o x.npz", "-i one.npz -o x.txt", "-i one.npz -o x.npz --mask uniform:2:8"]
    words = [*mistakes, "-i one.npz -o x.npz --method magic", "-i one.npz -o x.npz --coils 99"]
    done = subprocess.run(
        [sys.executable, "-c", probe, *words], cwd=one.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("voxprior: error: ") == len(words)


SLOW = """
import sys, time
from pathlib import Path
from voxprior import registry
from voxprior.methods.baselines import NoOptions
from voxprior.methods.result import Result

class Slow:
    name, citation, Options, calls = "slow", "", NoOptions, 0
    def __call__(self, measurement, options, rng, progress=None):
        Slow.calls += 1
        if Slow.calls == 2:
            Path(sys.argv[1]).touch()
            time.sleep(60)
        return Result(measurement.operator.adjoint(measurement.y)[0])

slow = Slow()
sys.modules["slow"] = sys.modules["__main__"]
registry.METHODS["recon"]["slow"] = "slow:slow"
from voxprior.cli import app
raise SystemExit(app.main(sys.argv[2:]))
"""


def test_an_interrupted_run_leaves_nothing(full: Path, tmp_path_factory) -> None:
    """Guards Ctrl-C in the second slice: the maps of the first are on the disk by then, under a temporary name."""
    started = tmp_path_factory.mktemp("mark") / "started"
    words = ["recon", "-i", full, "-o", full.with_name("out.npz"), "--method", "slow"]
    process = subprocess.Popen([sys.executable, "-c", SLOW, started, *words], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 50
        while not started.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert started.exists(), "the run never reached the second slice"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert err == "voxprior: interrupted; nothing was left half-written\n"
    assert names(full.parent) == {"full.npz"}


def test_a_full_disk_leaves_nothing(voxprior, one: Path) -> None:
    """Guards a write that stops in the middle of the maps."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        ran = voxprior("recon", "-i", one, "-o", one.with_name("out.npz"), "--method", "sense")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ran.code == 2, ran.err
    assert "a size limit is hit" in ran.err
    assert names(one.parent) == {"one.npz"}


def test_the_same_run_writes_the_same_bytes(voxprior, one: Path) -> None:
    """Guards reproducibility: neither a time nor a name in the files."""
    for name in ("a", "b"):
        assert voxprior("recon", "-q", "-i", one, "-o", one.with_name(f"{name}.npz"), "--method", "sense").code == 0
    assert one.with_name("a.npz").read_bytes() == one.with_name("b.npz").read_bytes()
