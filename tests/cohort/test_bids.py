"""``voxprior bids`` in one process: who is found, what is written, what a second run does, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cohort.conftest import Make, write_scan
from voxprior.cli.app import main
from voxprior.cohort.cluster import Place, parse_options, require_place
from voxprior.cohort.dataset import members
from voxprior.errors import InputError

HERE = ("--workers", "0", "--method", "cubic")


@pytest.fixture
def bids(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command with these words; code, stdout, stderr."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main(["bids", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def sidecar(out: Path, subject: str) -> dict:
    return json.loads((out / f"{subject}/anat/{subject}_desc-restored_T1w.json").read_text())


def test_a_data_set_becomes_derivatives(bids, dataset: Make, tmp_path: Path) -> None:
    """Names, sidecars and proofs are those of BIDS; a second run does nothing twice, other settings do it again."""
    raw, out = dataset(2), tmp_path / "out"
    (raw / "sub-01/anat/sub-01_T1w.json").write_text('{"SliceThickness": 4.0}')
    code, said, err = bids(raw, out, "participant", *HERE)
    assert (code, err) == (0, "") and "2 restored, 0 finished earlier, 0 failed" in said
    anat = {path.name for path in (out / "sub-01/anat").iterdir()}
    tags = ("_T1w.nii.gz", "_T1w.json", "Invented_T1w.nii.gz", "Invented_T1w.json")
    assert anat == {f"sub-01_desc-restored{tag}" for tag in tags}
    assert {p.name for p in (out / "sub-01/figures").iterdir()} == {
        *("sub-01_T1w.html", "sub-01_desc-restored_T1w_preview.png")
    }
    told = sidecar(out, "sub-01")
    assert told["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert told["certificate"]["operator"]["thickness"] == 4.0
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert "voxprior" in (out / "logs/CITATION.md").read_text()
    assert main(["verify", str(out / "sub-01/anat/sub-01_desc-restored_T1w.nii.gz")]) == 0
    before = {path: path.stat().st_mtime_ns for path in (out / "sub-01/anat").iterdir()}
    code, said, _ = bids(raw, out, "participant", *HERE)
    assert code == 0 and "0 restored, 2 finished earlier" in said
    assert before == {path: path.stat().st_mtime_ns for path in (out / "sub-01/anat").iterdir()}
    code, said, _ = bids(raw, out, "participant", *HERE, "--thickness", "3", "--participant-label", "sub-02")
    assert "1 restored, 0 finished" in said and sidecar(out, "sub-02")["certificate"]["operator"]["thickness"] == 3


def test_a_bad_scan_stops_nobody(bids, dataset: Make, tmp_path: Path) -> None:
    """The others are restored, the bad one is listed, the code is 1, and the group page names it until it is mended."""
    raw, out = dataset(3), tmp_path / "out"
    bad = raw / "sub-02/anat/sub-02_T1w.nii.gz"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-300])
    code, said, err = bids(raw, out, "participant", *HERE)
    assert code == 1 and "2 restored, 0 finished earlier, 1 failed" in said
    assert "1 of 3 scans failed: sub-02_T1w" in err and str(tmp_path) not in err
    assert bids(raw, out, "group")[1].endswith("group.html: 3 scans\n")
    page = (out / "group.html").read_text()
    assert "failed" in page and 'href="sub-02/figures/sub-02_T1w.html"' in page
    bad.write_bytes(whole)
    code, said, _ = bids(raw, out, "participant", *HERE)
    assert code == 0 and "1 restored, 2 finished earlier, 0 failed" in said
    bids(raw, out, "group")
    assert 'class="bad"' not in (out / "group.html").read_text()


def test_a_scan_that_fails_later_is_shown_as_failed(bids, dataset: Make, tmp_path: Path) -> None:
    """Guards the group page: a derivative of an older input must not hide that the new one cannot be restored."""
    raw, out = dataset(1), tmp_path / "out"
    assert bids(raw, out, "participant", *HERE)[0] == 0
    bad = raw / "sub-01/anat/sub-01_T1w.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-300])
    assert bids(raw, out, "participant", *HERE)[0] == 1
    assert bids(raw, out, "group")[1].endswith("group.html: 1 scans\n")
    assert 'class="bad"' in (out / "group.html").read_text()


def test_two_runs_share_an_output_folder(bids, dataset: Make, tmp_path: Path) -> None:
    """Guards batches by --participant-label at once: what another run has half-written of its subject stays."""
    raw, out = dataset(2), tmp_path / "out"
    for subject in ("sub-01", "sub-02"):
        (out / subject / "anat").mkdir(parents=True)
        (out / subject / "anat" / ".voxprior-half.nii.gz").write_bytes(b"half")
    assert bids(raw, out, "participant", *HERE, "--participant-label", "01")[0] == 0
    assert [path.parts[-3] for path in out.rglob(".voxprior-*")] == ["sub-02"]


def test_only_thick_anatomical_scans_are_found(dataset: Make) -> None:
    """Guards the walk: sessions and runs are found; thin, foreign and functional files are left alone."""
    raw = dataset(1)
    anat = raw / "sub-01/anat"
    write_scan(anat / "sub-01_run-2_FLAIR.nii.gz")
    write_scan(raw / "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii")
    write_scan(anat / "sub-01_run-3_T1w.nii.gz", step=2.5)
    write_scan(anat / "sub-09_T1w.nii.gz")
    write_scan(raw / "sub-01/func/sub-01_task-rest_bold.nii.gz")
    names = [m.name for m in members(raw)]
    assert names == ["sub-01_T1w", "sub-01_run-2_FLAIR", "sub-01_ses-a_T2w"]
    assert [m.name for m in members(raw, ["01"], ["ses-a"])] == ["sub-01_ses-a_T2w"]
    assert members(raw)[2].target(Path("o")) == Path("o/sub-01/ses-a/anat/sub-01_ses-a_desc-restored_T2w.nii.gz")


def test_an_interrupted_restoration_is_not_taken_for_a_finished_one(bids, dataset: Make, tmp_path: Path) -> None:
    """Guards resume: a sidecar whose files are gone, or of another input, counts as nothing."""
    raw, out = dataset(1), tmp_path / "out"
    bids(raw, out, "participant", *HERE)
    (out / "sub-01/anat/sub-01_desc-restoredInvented_T1w.nii.gz").unlink()
    assert "1 restored" in bids(raw, out, "participant", *HERE)[1]
    write_scan(raw / "sub-01/anat/sub-01_T1w.nii.gz", shift=2.0)
    assert "1 restored" in bids(raw, out, "participant", *HERE)[1]
    image = nib.load(out / "sub-01/anat/sub-01_desc-restored_T1w.nii.gz")
    assert np.linalg.norm(image.affine[:3, 2]) == pytest.approx(2.0)


def test_mistakes_are_one_line(bids, dataset: Make, tmp_path: Path) -> None:
    """Each says what is wrong and ends with code 2, before anything is written."""
    raw, out = dataset(1), tmp_path / "out"
    for words, reason in (
        ((raw / "sub-01", out, "participant"), "no dataset_description.json"),
        ((raw, out, "participant", "--participant-label", "77"), "has no sub-77"),
        ((raw, out, "participant", "--participant-label", "../x"), "letters and digits"),
        ((raw, out, "participant", "--workers", "-1"), "--workers -1"),
        ((raw, out, "participant", "--cluster", "vax"), "--cluster vax is unknown"),
        ((raw, out, "participant", "--cluster", "slurm", "--scheduler", "tcp://h:1"), "exclude each other"),
        ((raw, out, "participant", "--cluster-options", "memory"), "NAME=VALUE"),
        ((raw, out, "participant", "--method", "vax", "--workers", "0"), "--method vax is unknown"),
    ):
        code, _, err = bids(*words)
        assert code == 2 and reason in err, err


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, worker processes are refused in a line, and --workers 0 is not."""
    monkeypatch.setattr("voxprior.cohort.cluster.find_spec", lambda name: None)
    require_place(Place(workers=0))
    with pytest.raises(InputError, match="extra 'cohort'"):
        require_place(Place(workers=2))
    assert parse_options(("memory=16GB", "queue=gpu")) == {"memory": "16GB", "queue": "gpu"}
