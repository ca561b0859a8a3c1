"""The form of a job says what its options say, and can name no file of the server."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from typing import get_args, get_type_hints

import pytest
from pydantic import BaseModel

pytest.importorskip("fastapi")

from voxprior import registry
from voxprior.errors import InputError
from voxprior.web.form import ASKED, OPTIONS, forms, parse

FILES = ("/etc/passwd", "../../x.safetensors", "maps.npy", "hf://owner/repository/file.safetensors", "C:\\x.txt", "")
NOT_HERE = {
    **dict.fromkeys(("input", "output", "report", "force"), "the page brings scans, and gives every file and report"),
    **dict.fromkeys(("quiet", "verbose"), "there is no terminal"),
    **dict.fromkeys(("maps", "config"), "names a file of the server"),
    "series": "series are chosen from the list of scans",
}
"""Options of commands that no form has, and why."""
OTHER_NAMES = {"register": "registration"}
FORMS = {form["name"]: form for form in forms()}


def test_every_job_that_starts_from_one_scan_has_a_form() -> None:
    """Guards against a job that was added to the registry and forgotten here."""
    assert set(FORMS) == set(registry.JOBS) & set(OPTIONS)
    assert set(FORMS) >= {"sr", "recon", "ct", "enhance", "generate"}
    json.dumps(forms(), allow_nan=False)


@pytest.mark.parametrize("job", sorted(FORMS))
def test_fields_are_those_of_the_options(job: str) -> None:
    """Guards the derivation: names, defaults and ranges come from the class that the command uses too."""
    for field in FORMS[job]["fields"]:
        source = OPTIONS[job] if field["name"] in OPTIONS[job].model_fields else ASKED[job]
        info = source.model_fields[field["name"]]
        assert field["default"] == info.default
        assert field["hint"] == info.description.replace("`", "").replace("--", "")
    assert FORMS[job]["fields"][0]["choices"] == list(registry.METHODS[job])


@pytest.mark.parametrize("job", sorted(FORMS))
def test_a_form_offers_what_its_command_has(job: str) -> None:
    """Guards those without a terminal: an option that is added to a command is in the form, or has a reason not to."""
    command = getattr(import_module(f"voxprior.cli.{job}"), job)
    hints = get_type_hints(command)
    options: set[str] = set()
    for name in inspect.signature(command).parameters:
        classes = [part for part in get_args(hints[name]) if isinstance(part, type) and issubclass(part, BaseModel)]
        options |= set(classes[0].model_fields) if classes else {name}
    offered = {field["name"] for field in FORMS[job]["fields"]}
    if job in ("sr", "enhance"):
        options.discard("dicom")  # given for DICOM, and for nothing else
    assert {OTHER_NAMES.get(name, name) for name in options - set(NOT_HERE)} == offered
    assert len(options) > 15


@pytest.mark.parametrize("job", sorted(FORMS))
def test_no_text_can_name_a_file(job: str) -> None:
    """Guards the disk of the server: weights, masks, maps and profiles may be files for the command, not for a page."""
    texts = [name for name, info in OPTIONS[job].model_fields.items() if "str" in str(info.annotation)]
    assert {"method", "weights"} <= set(texts)
    for name in texts:
        for path in FILES:
            with pytest.raises(InputError):
                parse(job, {name: path})


def test_values_are_parsed_and_refused_as_the_command_does() -> None:
    """Guards what is queued: a wrong value is told before the job waits its turn."""
    options, asked = parse("sr", {"thickness": 4.0, "simulate": True, "factor": 3.0})
    assert (options.model_dump()["thickness"], asked.model_dump()["factor"]) == (4.0, 3.0)
    for values in ({"steps": 1}, {"unknown": 1}, {"mode": "mean", "method": "cubic"}, {"samples": "many"}):
        with pytest.raises(InputError):
            parse("sr", values)
    with pytest.raises(InputError, match="unknown"):
        parse("<script>", {})


def test_the_scanner_of_ct_is_told_and_checked_at_once() -> None:
    """Guards the fan: its beams are those of the operator, and a length that cannot be is refused at once."""
    from voxprior.operators.projection_matrix import Beam

    (beam,) = (field for field in FORMS["ct"]["fields"] if field["name"] == "beam")
    assert beam["choices"] == list(get_args(Beam))
    assert parse("ct", {"simulate": True, "beam": "fan-arc", "source_mm": 500.0})[1].model_dump()["source_mm"] == 500
    for values in ({"beam": "cone"}, {"views": 0}, {"range_deg": 400.0}, {"detector_mm": -1.0}, {"axis": "x"}):
        with pytest.raises(InputError):
            parse("ct", values)


def test_frames_are_numbers() -> None:
    """Guards the one text that reads like a list: it takes what the command takes, and no name."""
    for frames in ("all", "2", "0,3", "0-4", "0-4,7"):
        assert parse("sr", {"frames": frames})[1].model_dump()["frames"] == frames
    for frames in ("all/../x", "0-", "a", "0;1", "", "1 2"):
        with pytest.raises(InputError):
            parse("sr", {"frames": frames})


def test_the_axes_of_enhance_are_letters() -> None:
    """Guards the one text of that form: it has a field, and takes what names axes alone."""
    options, asked = parse("enhance", {"axes": "ij", "factor": 3.0, "simulate": True})
    assert (options.model_dump()["axes"], options.model_dump()["factor"]) == ("ij", 3.0)
    assert asked.model_dump()["simulate"] and parse("enhance", {"axes": "auto"})
    for axes in ("xy", "ijkj", "i/../j"):
        with pytest.raises(InputError, match="axes"):
            parse("enhance", {"axes": axes})
