"""The form of each job, derived from the classes of its options; what names a file of the server is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from voxprior import registry
from voxprior.errors import InputError
from voxprior.jobs.options import (
    CtOptions,
    DicomOptions,
    EnhanceOptions,
    GenerateOptions,
    ReconOptions,
    ScannerOptions,
    SharedOptions,
    SrOptions,
    require_method,
)
from voxprior.web.kinds import DICOM, IMAGE, KSPACE

OPTIONS: Mapping[str, type[SharedOptions]] = {
    "sr": SrOptions,
    "recon": ReconOptions,
    "ct": CtOptions,
    "enhance": EnhanceOptions,
    "generate": GenerateOptions,
}
"""Job to the class of its options; a job of the registry that is not here has no form."""
TAKES: Mapping[str, tuple[str, ...]] = {
    "sr": (IMAGE, DICOM),
    "recon": (KSPACE, IMAGE, DICOM),
    "ct": (KSPACE, IMAGE, DICOM),
    "enhance": (IMAGE, DICOM),
    "generate": (),
}
"""Kinds of scan that a job starts from."""
SEVERAL, TOGETHER = "sr", 16
"""The job that makes one volume of several scans, and of how many."""
NUMBERS: Mapping[str, str] = {
    "registration": "several",
    **dict.fromkeys(("simulate", "factor", "frames", "mode", "strength"), "one"),
}
"""Options that go with one scan, or with several, alone."""
FIRST = (
    *("method", "mode", "spacing", "thickness", "gap", "axes", "degradation", "registration", "simulate", "factor"),
    *("views", "mask", "shape", "samples"),
)
"""Options that are shown at once; the others unfold."""
TEXTS: Mapping[str, str] = {
    "axes": r"auto|[ijk]{1,3}",
    "frames": r"all|[0-9]{1,6}(-[0-9]{1,6})?(,[0-9]{1,6}(-[0-9]{1,6})?){0,30}",
    "mask": r"[a-z0-9-]{1,40}(:[0-9.]{1,8}){1,4}",
}
"""Patterns of the texts that may be given; none can name a file. A text without pattern or choices has no field."""


def _of_scanner(name: str) -> str | None:
    return ScannerOptions.model_fields[name].description


class Asked(BaseModel):
    """What a job is asked besides the options of its method."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    simulate: bool = Field(default=False, description="The scan is complete: degrade it first, restore, compare.")


class AskedUids(BaseModel):
    """Of a job that gives DICOM for DICOM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uids: Literal["new", "content"] = Field(default="new", description=DicomOptions.model_fields["uids"].description)


class AskedDicom(AskedUids):
    """Of a job that makes DICOM of what was none, too."""

    dicom: bool = Field(default=False, description="Give DICOM too, in a new study where no series is given.")


class AskedImage(AskedUids, Asked):
    """Of a job that starts from an image."""

    frames: str | None = Field(default=None, description="Frames of a 4-D image, from 0: 2, 0,3, 0-4 or all.")


class AskedSr(AskedImage):
    """Of ``sr``."""

    factor: float | None = Field(default=None, gt=1, le=64, description="Simulated slices are so many voxels apart.")
    registration: bool = Field(
        default=False,
        description="Several scans: align the others to the first, rigidly, instead of trusting their headers.",
    )


class AskedRecon(AskedDicom, Asked):
    """Of ``recon``."""

    phase: bool = Field(default=False, description="Give the phase too.")


class AskedCt(AskedDicom, ScannerOptions, Asked):
    """Of ``ct``; what is out of range is told before the job waits its turn."""

    views: int | None = Field(default=None, ge=1, le=10_000, description=_of_scanner("views"))
    range_deg: float | None = Field(default=None, gt=0, le=360, description=_of_scanner("range_deg"))
    photons: float | None = Field(default=None, gt=0, description=_of_scanner("photons"))
    source_mm: float | None = Field(default=None, gt=0, description=_of_scanner("source_mm"))
    detector_mm: float | None = Field(default=None, gt=0, description=_of_scanner("detector_mm"))


ASKED: Mapping[str, type[BaseModel]] = {
    "sr": AskedSr,
    "recon": AskedRecon,
    "ct": AskedCt,
    "enhance": AskedImage,
    "generate": AskedDicom,
}


def forms() -> list[dict[str, Any]]:
    """Of every job: name, what it does, what it takes, and its fields as plain values."""
    return [
        {"name": job, "title": registry.JOBS[job], "takes": list(TAKES[job]), "fields": list(_fields(job))}
        for job in OPTIONS
        if job in registry.JOBS
    ]


def parse(job: str, values: Mapping[str, Any]) -> tuple[SharedOptions, BaseModel]:
    """The options of the method, and what else was asked, of the ``values`` of a form.

    Raises :class:`InputError` for an unknown job or name, a value out of range, and a text that could name a file.
    """
    if job not in OPTIONS:
        raise InputError(f"job {job[:40]!r} is unknown; give one of {', '.join(OPTIONS)}")
    known = {field["name"]: field for field in _fields(job)}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"option {name[:40]!r} is not one of job {job}")
        _require_harmless(known[name], value)
    asked = {name: value for name, value in values.items() if name in ASKED[job].model_fields}
    rest = {name: value for name, value in values.items() if name not in asked}
    try:
        options, extra = OPTIONS[job](**rest), ASKED[job](**asked)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", " ")
        raise InputError(f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    require_method(job, options)
    return options, extra


def require_number(extra: BaseModel, scans: int) -> None:
    """Raise :class:`InputError` where something else is asked for that does not go with so many scans."""
    given = {name for name in extra.model_fields_set if getattr(extra, name) not in (None, False)}
    if scans == 1 and "registration" in given:
        raise InputError("registration needs several scans; choose two at least, or leave it out")
    if scans > 1 and given & {name for name, number in NUMBERS.items() if number == "one"}:
        raise InputError("several scans do not go with simulate, factor or frames; leave them out, or choose one scan")


def _require_harmless(field: Mapping[str, Any], value: Any) -> None:
    if value is None or not isinstance(value, str):
        return
    if field["choices"] is not None:
        if value not in field["choices"]:
            raise InputError(f"{field['label']}: give one of {', '.join(field['choices'])}")
    elif not (field["pattern"] and re.fullmatch(field["pattern"], value)):
        raise InputError(f"{field['label']}: not understood; leave it empty, or see the hint")


def _fields(job: str) -> Iterator[dict[str, Any]]:
    for source in (OPTIONS[job], ASKED[job]):
        for name, info in source.model_fields.items():
            field = _field(job, name, info)
            if field is not None:
                yield field


def _field(job: str, name: str, info: FieldInfo) -> dict[str, Any] | None:
    """A field as plain values; None for a text without choices or pattern, which could name a file."""
    kinds = _kinds(info.annotation)
    choices = _choices(job, name, info.annotation)
    if choices is None and str in kinds and name not in TEXTS:
        return None
    limits: dict[str, Any] = {}
    for rule in info.metadata:
        limits |= {key: getattr(rule, key) for key in ("ge", "gt", "le", "lt") if hasattr(rule, key)}
    if choices is not None:
        kind = "choice"
    elif bool in kinds:
        kind = "switch"
    elif tuple in kinds:
        kind = "numbers"
    elif str in kinds:
        kind = "text"
    else:
        kind = "number" if float in kinds else "integer"
    return {
        "name": name,
        "label": name.replace("_", " "),
        "kind": kind,
        "choices": choices,
        "pattern": TEXTS.get(name),
        "default": info.default,
        "optional": NoneType in kinds,
        "low": limits.get("ge", limits.get("gt")),
        "high": limits.get("le", limits.get("lt")),
        "hint": (info.description or "").replace("`", "").replace("--", ""),
        "first": name in FIRST,
        "scans": NUMBERS.get(name),
    }


def _choices(job: str, name: str, annotation: Any) -> list[str] | None:
    named = {
        "method": list(registry.METHODS[job]),
        "weights": list(registry.weight_names()),
        "profile": ["box", "gaussian", "slr"],
        "axis": ["auto", "i", "j", "k"],
        "beam": ["parallel", "fan-flat", "fan-arc"],
    }
    if name in named:
        return named[name]
    for part in _parts(annotation):
        if get_origin(part) is Literal:
            return [str(value) for value in get_args(part)]
    return None


def _kinds(annotation: Any) -> set[Any]:
    return {get_origin(part) or part for part in _parts(annotation)}


def _parts(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (UnionType, Union) else (annotation,)
