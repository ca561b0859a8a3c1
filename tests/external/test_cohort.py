"""A cohort on real worker processes, one of which is killed, and its derivatives before the official validator."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cohort.conftest import Make, dataset, write_scan  # noqa: F401 - the fixture is used by name
from voxprior.cli.app import main

pytestmark = pytest.mark.external

SUBJECTS, BROKEN = 8, "sub-05"


def restored(out: Path) -> dict[Path, int]:
    """Every image that is there, and when it was written."""
    return {p.relative_to(out): p.stat().st_mtime_ns for p in out.glob("sub-*/anat/*_desc-restored_T1w.nii.gz")}


def test_a_broken_file_and_a_killed_worker(
    dataset: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:
    """Eight subjects, two workers, the default method: seven results, one clear failure; resume does nothing twice."""
    pytest.importorskip("distributed")
    from voxprior.cohort.cluster import Place, client_of, local

    raw, out = dataset(SUBJECTS), tmp_path / "out"
    bad = raw / f"{BROKEN}/anat/{BROKEN}_T1w.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-300])
    with local(Place(workers=2)) as cluster:
        address = cluster.scheduler_address
        with client_of(Place(scheduler=address)) as client:
            client.wait_for_workers(2, timeout=120)
            first = client.run(os.getpid)
        assert len(set(first.values())) == 2

        def kill() -> None:
            while not restored(out):
                time.sleep(0.02)
            os.kill(next(iter(first.values())), signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        code = main(["bids", str(raw), str(out), "participant", "--scheduler", address])
        killer.join(60)
        assert not killer.is_alive()
        told = capsys.readouterr()
        assert code == 1
        # A scan whose worker dies between its last file and the answer is found finished when it is tried again.
        counts = re.search(r"(\d) restored, (\d) finished earlier, 1 failed", told.out)
        assert counts is not None and int(counts[1]) + int(counts[2]) == SUBJECTS - 1
        assert f"1 of 8 scans failed: {BROKEN}_T1w" in told.err
        with client_of(Place(scheduler=address)) as client:
            client.wait_for_workers(2, timeout=120)
            assert set(client.run(os.getpid).values()) != set(first.values())
        before = restored(out)
        assert len(before) == SUBJECTS - 1
        assert main(["bids", str(raw), str(out), "participant", "--scheduler", address]) == 1
        assert "0 restored, 7 finished earlier, 1 failed" in capsys.readouterr().out
        assert restored(out) == before
    for path in before:
        assert main(["verify", str(out / path)]) == 0
    assert main(["bids", str(raw), str(out), "group"]) == 0
    page = (out / "group.html").read_text()
    links = [f'href="sub-{n:02d}/figures/sub-{n:02d}_T1w.html"' for n in range(1, SUBJECTS + 1)]
    assert [page.count(link) for link in links] == [1] * SUBJECTS
    rows = [row for row in page.split("<tr") if "sub-" in row]
    assert len(rows) == SUBJECTS and [BROKEN in row for row in rows if 'class="bad"' in row] == [True]
    assert not list(out.rglob(".voxprior-*"))


def test_the_result_does_not_depend_on_where_it_is_computed(dataset: Make, tmp_path: Path) -> None:  # noqa: F811
    """A local worker process gives the voxels that this process gives."""
    pytest.importorskip("distributed")
    raw = dataset(1)
    images, told = [], []
    for workers in ("0", "1"):
        out = tmp_path / workers
        words = ("--workers", workers, "--worker-threads", "1", "-q")
        assert main(["bids", str(raw), str(out), "participant", *words]) == 0
        anat = out / "sub-01/anat"
        images.append(nib.load(anat / "sub-01_desc-restored_T1w.nii.gz").get_fdata())
        told.append(json.loads((anat / "sub-01_desc-restored_T1w.json").read_text()))
    assert images[0].std() > 1
    np.testing.assert_allclose(images[1], images[0], rtol=0, atol=1e-4 * images[0].max())
    assert told[0]["certificate"]["operator"] == told[1]["certificate"]["operator"]


def test_jobs_of_a_batch_system_ask_for_what_was_given() -> None:
    """The script that dask-jobqueue would submit names cores, memory, queue and time; nothing is submitted here."""
    pytest.importorskip("dask_jobqueue")
    from dask_jobqueue import SLURMCluster

    from voxprior.cohort import cluster

    asked: list[int] = []
    scale, SLURMCluster.scale = SLURMCluster.scale, lambda self, jobs: asked.append(jobs)
    try:
        options = cluster.parse_options(("memory=16GB", "queue=gpu", "walltime=02:00:00"))
        with cluster.batch(cluster.Place(workers=5, threads=4, system="slurm", options=options)) as found:
            script = found.job_script()
    finally:
        SLURMCluster.scale = scale
    assert asked[0] == 5
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=15G", "#SBATCH -t 02:00:00"):
        assert line in script
    assert "--nthreads 1" in script and "--nworkers" not in script


def test_the_official_validator_accepts_the_derivatives(dataset: Make, tmp_path: Path) -> None:  # noqa: F811
    """No error of the BIDS validator, for the source data set and for what was made of it."""
    program = shutil.which("bids-validator-deno", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("bids-validator-deno is not installed; .ci/run names the package")
    raw, out = dataset(2), tmp_path / "out"
    write_scan(raw / "sub-02/anat/sub-02_run-1_T2w.nii.gz")
    assert main(["bids", str(raw), str(out), "participant", "--workers", "0", "-q"]) == 0
    assert main(["bids", str(raw), str(out), "group"]) == 0
    for folder in (raw, out):
        words = [program, str(folder), "--json"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        issues = json.loads(done.stdout)["issues"]["issues"]
        assert not [i for i in issues if i["severity"] == "error"], issues
        assert done.returncode == 0
