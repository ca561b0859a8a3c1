"""Options: one class, from which everything else derives."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotated_types import BaseMetadata
from pydantic import ValidationError

from voxprior import registry
from voxprior.errors import InputError
from voxprior.jobs.job import find_device, method_options
from voxprior.jobs.options import METHOD_OPTIONS, CtOptions, EnhanceOptions, ReconOptions, SrOptions, require_method
from voxprior.jobs.sidecar import settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_job_promises_what_the_default_method_takes() -> None:
    """Guards two classes that must agree: bounds and defaults of the job's options are those of the method's."""
    fields = registry.resolve("voxprior").Options.model_fields
    for name in METHOD_OPTIONS:
        ours, theirs = SrOptions.model_fields[name], fields[name]
        bounds = [m for m in ours.metadata if isinstance(m, BaseMetadata)]
        assert bounds == [m for m in theirs.metadata if isinstance(m, BaseMetadata)], name
        if ours.default is not None:
            assert ours.default == theirs.default, name


def test_options_are_frozen_and_know_no_others() -> None:
    """Guards against settings that change after they were recorded, and against misspelt ones."""
    with pytest.raises(ValidationError):
        SrOptions(thicknes=3.0)
    with pytest.raises(ValidationError):
        SrOptions().seed = 3


def test_only_what_was_given_goes_to_the_method() -> None:
    """Guards the method's own defaults, and the warning about options that it does not have."""
    method = registry.resolve("voxprior")
    values, ignored = method_options(method, SrOptions(mode="sample", samples=3), "cpu")
    assert (values.mode, values.samples, values.steps, values.device) == ("sample", 3, 20, "cpu")
    assert ignored == ()
    _, ignored = method_options(method, SrOptions(samples=3), "cpu")
    assert ignored == ("--samples has no effect without --mode sample",)
    _, ignored = method_options(registry.resolve("cubic"), SrOptions(method="cubic", steps=9), "cpu")
    assert ignored == ("--steps has no effect with --method cubic",)


def test_every_registered_method_can_be_imported_and_says_what_it_is() -> None:
    """Guards the strings of the registry."""
    for job, methods in registry.METHODS.items():
        assert job in registry.JOBS
        for name in methods:
            method = registry.resolve(name, job)
            assert method.name == name
            assert method.citation


def test_wrong_names_list_the_right_ones() -> None:
    """Guards the messages that answer the next question."""
    with pytest.raises(InputError, match=r"--method best is unknown; give one of voxprior, nearest"):
        require_method("sr", SrOptions(method="best"))
    with pytest.raises(InputError, match=r"job paint is unknown; give one of sr"):
        registry.resolve("cubic", "paint")
    with pytest.raises(InputError, match="--device tpu is not there"):
        find_device("tpu")


def test_recorded_settings_make_the_same_options_again_and_name_no_folder() -> None:
    """Guards the sidecar's settings: complete, and without a folder that may be named after a patient."""
    options = SrOptions(profile="/data/DOE_JOHN/shape.txt", weights="/data/DOE_JOHN/w.safetensors", seed=4)
    values = settings(options)
    assert "DOE" not in str(values)
    assert SrOptions(**values) == options.model_copy(update={"profile": "shape.txt", "weights": "w.safetensors"})


def test_the_reference_page_holds_every_option_with_its_default() -> None:
    """Guards the documentation: its table is that of the class, line by line."""
    text = PAGE.read_text(encoding="utf-8")
    kinds = SrOptions, ReconOptions, CtOptions, EnhanceOptions
    for name, field in (option for kind in kinds for option in kind.model_fields.items()):
        default = "" if field.default is None else f"`{field.default}`"
        assert f"| `--{name.replace('_', '-')}` | {default} | {field.description} |" in text
