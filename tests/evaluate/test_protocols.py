"""The cases: which volumes, which directions, and what is said of them."""

import pytest

from voxprior.errors import InputError
from voxprior.evaluate.sr.protocols import sr_cases


def test_every_row_of_the_protocol_is_there(data):
    """A factor or the wrong-profile row that goes missing would go missing from the page in silence."""
    kinds = {case.kind for case in sr_cases(data) if case.subject == "a"}
    assert kinds == {
        "x2 box",
        "x3 box",
        "x4 box",
        "x5 box",
        "x8 box",
        "x5 gaussian",
        "x5 gaussian, box assumed",
        "x4 box, gap 25%",
        "x5 box, spline truth",
        "x5 box, block",
    }


def test_only_fine_directions_are_thickened(data):
    """An interpolated direction is no truth; a remark behind a direction does not hide it."""
    cases = sr_cases(data)
    assert {c.direction for c in cases if c.subject == "a" and c.kind == "x5 box"} == {"L-R", "A-P", "I-S"}
    assert {c.direction for c in cases if c.subject == "b"} == {"L-R", "A-P"}
    assert {c.direction for c in cases if c.kind == "x2 box"} == {"A-P"}


def test_train_and_ct_rows_are_no_cases(data):
    """Nothing of the training split may be reported on."""
    assert {case.subject for case in sr_cases(data)} == {"a", "b"}


def test_names_are_unique(data):
    """Two cases of one name would overwrite each other on the page."""
    names = [case.name for case in sr_cases(data)]
    assert len(names) == len(set(names))


def test_groups_follow_scanner_and_contrast(data):
    """The aims are stated by group: known scanners, other scanners, other contrasts."""
    groups = {case.subject: case.group for case in sr_cases(data)}
    assert groups == {"a": "T1w, scanners of the training data", "b": "other contrasts"}


def test_an_unknown_scanner_is_never_one_of_training(data):
    """Two files of unknown origin have 'unknown' in common, not the scanner."""
    manifest = data / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("scanner 1", "unknown"))
    assert {c.group for c in sr_cases(data) if c.subject == "a"} == {"T1w, other scanners"}


def test_one_case_is_timed_several_times(data):
    """A time needs a median, a fidelity does not."""
    timed = [case for case in sr_cases(data) if case.repeats > 1]
    assert [(case.subject, case.kind, case.repeats) for case in timed] == [("b", "x5 box", 3)]


@pytest.mark.parametrize(
    ("text", "message"), [(None, "no manifest.csv"), ("file,split\na,test\n", "lacks"), ("", "lacks rows")]
)
def test_a_folder_without_a_proper_manifest_is_refused(tmp_path, text, message):
    """The user is told which folder to give."""
    if text is not None:
        (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        sr_cases(tmp_path)


def test_a_manifest_without_test_volumes_is_refused(data):
    """An evaluation of nothing must not look like one that passed."""
    manifest = data / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",test,", ",train,"))
    with pytest.raises(InputError, match="no test volume"):
        sr_cases(data)
