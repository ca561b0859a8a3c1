"""Failures of a cohort are kept whole, whoever writes them at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from voxprior.cohort.failures import FOLDER, known_failures, note_failures
from voxprior.cohort.member import Outcome

WRITER = """
import sys
from pathlib import Path
from voxprior.cohort.failures import note_failures
from voxprior.cohort.member import Outcome
out, who = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for turn in range(10):
    own = [Outcome(f"sub-{who}{k}_T1w", "failed", error=f"{who} {turn}") for k in range(4)]
    note_failures(out, [*own, Outcome("sub-shared_T1w", "failed", error=f"{who} {turn}")])
"""


def test_two_processes_lose_no_failure(tmp_path: Path) -> None:
    """Both write at the same time, ten times over: every scan's last failure is there, whole, and nothing else."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for who in "AB"
    ]
    for run in runs:
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
    for run in runs:  # both are up: now they write against each other
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        run.communicate(timeout=300)  # closes the pipes, too
    assert [run.returncode for run in runs] == [0, 0]
    known = known_failures(tmp_path)
    shared = known.pop("sub-shared_T1w")
    assert shared in ("A 9", "B 9")
    assert known == {f"sub-{who}{k}_T1w": f"{who} 9" for who in "AB" for k in range(4)}
    assert len(list((tmp_path / FOLDER).iterdir())) == 9


def test_a_result_takes_the_failure_back_and_others_stay(tmp_path: Path) -> None:
    """Only scans that a run touched change; a damaged note is passed over."""
    assert known_failures(tmp_path) == {}
    note_failures(tmp_path, [Outcome(f"sub-{k}_T1w", "failed", error="dark") for k in (1, 2)])
    note_failures(tmp_path, [Outcome("sub-1_T1w", "restored", values={}), Outcome("sub-3_T1w", "finished earlier")])
    (tmp_path / FOLDER / "sub-damaged.json").write_text("{")
    assert known_failures(tmp_path) == {"sub-2_T1w": "dark"}
