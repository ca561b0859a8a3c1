"""The page: averages by subject, gains, the worst case, and tables of hand-made records."""

import math

import pytest

from voxprior.evaluate.markdown import listed
from voxprior.evaluate.sr.tables import GROUPS, gain, render
from voxprior.evaluate.statistics import latest, mean_over_subjects, rate_over_subjects


def _record(label, psnr, subject="a", kind="x5 box", direction="A-P", assumed="box", crop=0, repeats=1, **figures):
    values = {"psnr": psnr, "psnr_foreground": psnr - 3, "ssim": 0.9, "residual": 1e-7, "seconds": 2.0}
    values |= {"peak_memory_bytes": 2**30, "network_calls": 2, "voxels": 4_000_000, "runs": repeats}
    values |= {"convolution_gflops": None, "network_gflops": None, **figures}
    return {
        "key": f"{subject}{kind}{direction}{label}{psnr}",
        "name": f"{subject} {kind} {direction}",
        "kind": kind,
        "label": label,
        "case": {
            "subject": subject,
            "modality": "T1w",
            "group": GROUPS[0],
            "direction": direction,
            "profile": "box" if assumed == "box" else "gaussian",
            "assumed": "box",
            "crop": crop,
            "repeats": repeats,
        },
        "weights": None,
        "figures": values,
        "machine": {"processor": "x86_64", "threads": 2, "torch": "2"},
    }


def test_a_subject_with_three_directions_counts_once():
    """The unit of every statistic is the subject."""
    pairs = [("a", 10.0), ("a", 20.0), ("a", 30.0), ("b", 40.0)]
    assert mean_over_subjects(pairs) == (30.0, 2, None, None)
    assert mean_over_subjects([]) is None


def test_the_bootstrap_needs_five_subjects_and_holds_the_mean():
    """Below five an interval would be theatre; at five it has the width that resampling five numbers gives."""
    four = mean_over_subjects([(str(i), float(i)) for i in range(4)])
    five = mean_over_subjects([(str(i), float(i)) for i in range(5)])
    assert (four.low, four.high) == (None, None)
    assert five.low < five.value < five.high
    assert five.high - five.low == pytest.approx(2 * 1.96 * 2**0.5 / 5**0.5, rel=0.15)
    assert mean_over_subjects([(str(i), float(i)) for i in range(5)]) == five


def test_the_newest_result_of_a_case_counts():
    """New weights replace old ones on the page, and the old line stays in the file."""
    old, new = _record("cubic", 20.0), _record("cubic", 25.0)
    assert latest([old, new]) == [new]


def test_gains_are_paired_and_averaged_by_subject():
    """Subject a gains 2 and 4 dB along two directions, b gains 1 dB; so few are listed, in the README averaged."""
    records = [
        _record("cubic", 20.0),
        _record("voxprior mean", 22.0),
        _record("cubic", 30.0, direction="L-R"),
        _record("voxprior mean", 34.0, direction="L-R"),
        _record("cubic", 25.0, subject="b"),
        _record("voxprior mean", 26.0, subject="b"),
        _record("voxprior mean", 99.0, subject="c"),
    ]
    assert "| x5 box | +3.00 / +1.00 | +3.00 / +1.00 | +3.00 / +1.00 | - | - |" in render(records)
    assert gain(records, "psnr") == "+2.00"


def test_means_of_enough_subjects_have_their_interval():
    """A mean over seven subjects says nothing without how much they differ."""
    found = [(str(i), float(i)) for i in range(5)]
    assert listed(found, 1) == "2.0 [0.8, 3.2]" and listed(found, 1, "+") == "+2.0 [+0.8, +3.2]"
    assert listed([("b", 1.0), ("a", 2.0), ("a", 4.0)], 1) == "3.0 / 1.0" and listed([]) == "-"
    page = render([_record("cubic", 20.0 + i, str(i)) for i in range(5)])
    assert "| x5 box | 5 | 22.00 [20.80, 23.20] |" in page


def test_a_rate_of_nothing_has_a_bound_and_clusters_widen_it():
    """None in a litre is fewer than three (Poisson); all in one subject of five is less sure than one in each."""
    assert rate_over_subjects([]) is None
    none = rate_over_subjects([("a", 0, 0.5), ("b", 0, 0.5)])
    assert (none.value, none.events) == (0, 0) and none.upper == pytest.approx(-math.log(0.05))
    even = rate_over_subjects([(name, 20, 1.0) for name in "abcde"])
    one = rate_over_subjects([(name, 100 if name == "a" else 0, 1.0) for name in "abcde"])
    assert even.value == one.value == 20 and even.upper < 25 and one.upper >= 40


def test_the_worst_case_is_named_and_the_wrong_profile_is_not_it():
    """A result below cubic must not hide in a mean, and the aim speaks of right profiles."""
    records = [
        _record("cubic", 20.0),
        _record("voxprior mean", 19.9),
        _record("cubic", 20.0, subject="b"),
        _record("voxprior mean", 24.0, subject="b"),
        _record("cubic", 20.0, kind="x5 gaussian, box assumed", assumed="wrong"),
        _record("voxprior mean", 10.0, kind="x5 gaussian, box assumed", assumed="wrong"),
    ]
    page = render(records)
    assert "Of 2 whole-volume cases with the right profile" in page
    assert "the least gain over cubic is -0.10 dB (a x5 box A-P)" in page
    assert "1 lie more than 0.05 dB below cubic" in page


def test_samples_stand_in_their_own_rows():
    """A sample is compared with a sample, the mean of K with means."""
    figures = {"samples": 8, "psnr_one_sample": 24.0, "psnr_foreground_one_sample": 21.0, "network_calls": 160}
    page = render([_record("voxprior sample", 27.0, kind="x5 box, block", crop=1, **figures)])
    assert "| voxprior sample, mean of 8 | 27.00 | 24.00 | 160 |" in page
    assert "| voxprior sample, one sample | 24.00 | 21.00 | 20 |" in page


def test_calibration_is_shown_by_level():
    """Coverage, correlation and ratio in the order of the header."""
    found = {"coverage": {"0.5": 0.51, "0.8": 0.79, "0.9": 0.88}, "correlation": 0.4, "ratio": None}
    page = render([_record("voxprior mean", 27.0, calibration=found)])
    assert "| x5 box | voxprior mean | 0.51 | 0.79 | 0.88 | 0.40 | - |" in page


def test_times_are_ratios_to_cubic_and_to_the_bare_convolution():
    """Seconds alone say more about the machine than about the method."""
    records = [
        _record("cubic", 20.0, repeats=3, seconds=0.5, network_calls=0),
        _record("voxprior mean", 22.0, repeats=3, seconds=5.0, network_gflops=40.0, convolution_gflops=50.0),
    ]
    page = render(records)
    assert "| a x5 box A-P | voxprior mean | 4.0 | 3 | 5.00 | 10.0 | 1.00 | 2 | 50 | 80% |" in page


def test_other_tools_stand_beside_the_same_case_only():
    """A peer is compared on the case that it ran, not with a mean of others."""
    records = [_record("cubic", 20.0), _record("cubic", 30.0, subject="b")]
    page = render(records, [_record("ECLARE", 21.0)])
    section = page.split("## Beside other tools")[1].split("##")[0]
    assert "| a x5 box A-P | ECLARE | 21.00 |" in section
    assert "| a x5 box A-P | cubic | 20.00 |" in section
    assert "b x5 box" not in section


def test_remarks_close_the_page_and_empty_sections_are_left_out():
    """What somebody saw in pictures is kept apart from what was measured."""
    page = render([_record("cubic", 20.0)], remarks="## Real scans\n\nSharp.\n")
    assert page.endswith("## Real scans\n\nSharp.\n")
    assert "Posterior samples" not in page
