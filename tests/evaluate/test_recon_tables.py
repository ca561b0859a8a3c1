"""The part of the page about k-space: headings, means, gains and tables of hand-made records."""

from voxprior.evaluate.page import write_page
from voxprior.evaluate.recon.contenders import MANY, MEAN, WAVELET
from voxprior.evaluate.recon.tables import render
from voxprior.evaluate.store import Store


def _record(label, psnr, subject="a", mask="uniform", r=8, group="simulated coils", acceleration=4.0, **figures):
    values = {"psnr": psnr, "psnr_object": psnr - 2, "ssim": 0.9, "ssim_object": 0.8, "nmse": 0.01, "nmse_object": 0.02}
    values |= {"residual": 0.03, "seconds": 2.0, "seconds_maps": 0.5, "network_calls": 10, "runs": 1, "shape": [9, 8]}
    values |= {"acceleration": acceleration, "source": {"psnr": psnr + 1, "ssim": 0.7, "nmse": 0.005}, **figures}
    kind = f"{mask} R = {r}, ACS 24"
    case = {"subject": subject, "group": group, "mask": mask, "acceleration": r, "acs": 24, "coils": 8}
    return {
        "key": f"{subject}{kind}{label}",
        "name": f"{subject} {kind}",
        "kind": kind,
        "label": label,
        "case": case,
        "weights": None,
        "figures": values,
        "machine": {"processor": "x86_64", "threads": 2, "torch": "2"},
    }


def test_nominal_and_true_acceleration_stand_in_the_heading():
    """HF-10: R = 10 is not tenfold; the range over subjects is the matrices'."""
    page = render([_record("sense", 20.0, acceleration=4.02), _record("sense", 22.0, "b", acceleration=5.3)])
    assert "### Simulated coils, 2 subjects: uniform lines, R = 8 (true: 4.0 to 5.3), ACS 24" in page


def test_few_subjects_are_listed_and_many_have_an_interval():
    """Two values are two values; of five or more the mean over subjects and its bootstrap are given."""
    few = render([_record("sense", 20.0), _record("sense", 22.0, "b")])
    assert "| sense | 20.00 / 22.00 | 18.00 / 20.00 | 0.9000 | 0.8000 | 0.0100 | 0.0200 | 0.030 | 10 | 2.00 |" in few
    turned = render([_record("sense", 22.0, "b"), _record("sense", 20.0)])
    assert "| sense | 20.00 / 22.00 |" in turned  # by name, in whatever order they were measured
    many = render([_record("sense", 20.0 + i, str(i)) for i in range(5)])
    row = next(line for line in many.splitlines() if line.startswith("| sense | 22.00 ["))
    assert row.count("[") == 7  # all but calls and seconds


def test_gains_are_paired_with_the_wavelet_reconstruction_of_the_same_case():
    """Subject a gains 3 dB, b 5 dB, c was not reconstructed by the rival."""
    own = [_record(MEAN, 30.0), _record(MEAN, 33.0, "b"), _record(MEAN, 99.0, "c"), _record(MANY, 31.0)]
    rival = [_record(WAVELET, 27.0), _record(WAVELET, 28.0, "b"), _record(WAVELET, 27.0, r=4)]
    page = render(own, rival)
    section = page.split("### Gain over")[1].split("###")[0]
    assert "| method | simulated coils: uniform lines |" in section
    assert f"| {MEAN} | +3.00 / +5.00 (+3.00 / +5.00) |" in section
    assert f"| {MANY} | +4.00 (+4.00) |" in section


def test_other_tools_stand_between_baselines_and_ours():
    """The order of the rows is the same in every table."""
    page = render([_record(MEAN, 30.0), _record("sense", 20.0)], [_record(WAVELET, 27.0)])
    rows = [line.split("|")[1].strip() for line in page.split("### Simulated")[1].splitlines() if line.startswith("| ")]
    assert rows[:5] == ["method", "---", "sense", WAVELET, MEAN]


def test_each_slice_of_another_anatomy_has_a_table():
    """Subjects with other coils and matrices are not averaged."""
    group = "anatomy never trained on"
    page = render([_record("sense", 20.0, group=group), _record("sense", 22.0, "b", group=group)])
    for subject in "ab":
        assert f"### Anatomy never trained on, {subject}, 8 coils, 9 x 8: uniform lines, R = 8" in page


def test_calibration_is_averaged_by_subject_over_masks():
    """Coverage by its level, in the order of the header."""
    found = [{"coverage": {"0.5": c, "0.8": 0.8, "0.9": 0.9}, "correlation": 0.1, "ratio": None} for c in (0.4, 0.6)]
    page = render([_record(MEAN, 30.0, calibration=found[0]), _record(MEAN, 30.0, r=4, calibration=found[1])])
    assert f"| simulated coils | {MEAN} | 2 | 0.50 | 0.80 | 0.90 | - |" in page


def test_times_have_the_sensitivities_beside_them():
    """The aim counts both."""
    page = render([_record(MEAN, 30.0, group="15 coils, 320 x 320", extra_memory_bytes=2**20, runs=3)])
    assert f"| {MEAN} | 3 | 2.00 | 0.50 | 2.50 | 10 | 1 | 30.00 |" in page


def test_the_definitions_of_the_source_have_a_table_of_their_own():
    """Its figures are not comparable with fastMRI's, so they do not share a column."""
    page = render([_record("sense", 20.0)])
    assert "| simulated coils | sense | 21.00 | 0.7000 | 0.0050 |" in page.split("### As the evaluation of HFS-SDE")[1]


def test_the_page_has_a_part_for_each_job_that_has_results(tmp_path):
    """A job without results leaves no empty heading, and remarks close its part."""
    Store(tmp_path / "recon.jsonl").append(_record("sense", 20.0))
    (tmp_path / "recon-notes.md").write_text("### Looked at\n\nSharp.\n")
    write_page(tmp_path / "page.md", tmp_path)
    text = (tmp_path / "page.md").read_text()
    assert text.startswith("# Results\n") and "## k-space" in text and "## Thick slices" not in text
    assert text.endswith("### Looked at\n\nSharp.\n")
