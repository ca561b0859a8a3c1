"""The file that lists the stages of a cascade."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxprior.errors import InputError
from voxprior.jobs.options import EnhanceOptions
from voxprior.jobs.stages import SETTINGS, stages_of

BASE = EnhanceOptions(method="cubic", seed=5, noise=2.0, degradation="kspace")


def test_a_stage_says_what_differs_from_the_command_line(tmp_path: Path) -> None:
    """The rest is taken over: seed and noise, and the method where the stage names none."""
    path = tmp_path / "c.yaml"
    path.write_text("stages:\n- {axes: ij, factor: 1.5}\n- {name: last, method: nearest, degradation: box}\n")
    first, last = stages_of(BASE, path)
    assert (first.name, last.name) == ("1 cubic", "last")
    assert first.options == BASE.model_copy(update={"axes": "ij", "factor": 1.5})
    assert last.options == BASE.model_copy(update={"method": "nearest", "degradation": "box"})
    # What was not given must not look given, or methods would be told defaults of the job.
    assert first.options.model_fields_set == {"method", "seed", "noise", "degradation", "axes", "factor"}


def test_stages_may_say_what_the_job_has() -> None:
    """A renamed option must not be left behind here."""
    assert set(SETTINGS) - {"name"} <= set(EnhanceOptions.model_fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: []", "a list of 1 to 8 stages"),
        ("stages:\n- {factr: 2}", "stage 1: factr is none of name, method"),
        ("stages:\n- {seed: 2}", "stage 1: seed is none of"),
        ("stages:\n- 2", "stage 1: give its settings"),
        ("stages:\n- {factor: 0.5}", "stage 1: factor"),
        ("stages:\n- {axes: ij}\n- {degradation: 7t}", "stage 2: degradation"),
        ("stages:\n- {method: best}", "--method best is unknown"),
        ("other: 1", "under stages:, and nothing else"),
        ("stages: [{}]\nother: 1", "under stages:, and nothing else"),
        ("- 1", "under stages:, and nothing else"),
        ("stages: [", "not YAML"),
        ("stages: !!python/object/apply:os.getcwd []", "not YAML"),
        ("stages:\n" + "- {}\n" * 9, "a list of 1 to 8 stages"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    """The file is the user's: what is wrong, and where, without a traceback."""
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        stages_of(BASE, path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_and_what_does_not_go_with_one(tmp_path: Path) -> None:
    """Missing, and --strength of several stages."""
    with pytest.raises(InputError, match="cannot be read"):
        stages_of(BASE, tmp_path / "none.yaml")
    with pytest.raises(InputError, match="--strength takes one stage"):
        stages_of(BASE.model_copy(update={"strength": 0.5}), tmp_path / "none.yaml")
