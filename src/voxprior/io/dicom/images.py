"""What one image of a series says of itself, classic or a frame of a multi-frame object, in one form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voxprior.errors import InputError
from voxprior.io.dicom.datasets import CLASSIC, ENHANCED, told
from voxprior.io.dicom.files import Entry
from voxprior.io.dicom.geometry import Place, place

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MOST_FRAMES = 100_000
ORDER = ("EffectiveEchoTime", "EchoTime", "TemporalPositionIndex", "TemporalPositionIdentifier", "InstanceNumber")
"""What tells images of one place apart, in the order that counts."""


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """One frame: where it is, its pixels' spacing (between rows, between columns) and what stored values mean.

    Lengths in mm. A stored value s is ``slope * s + intercept``. ``frame``: from 0, None of a classic image.
    ``order``: echo, time and number, by which images of one place are sorted. ``entry``: where the bytes are.
    """

    entry: Entry
    sop_class: str
    uid: str
    frame: int | None
    place: Place
    spacing: tuple[float, float]
    size: tuple[int, int]
    thickness: float | None
    stated_distance: float | None
    slope: float
    intercept: float
    window: tuple[float, float] | None
    order: tuple[float, ...]


def images_of(dataset: Dataset, entry: Entry) -> list[Image]:
    """The images of one file; :class:`InputError` for what is no grey image with a place."""
    name = entry.name
    with told(name):
        if int(dataset.get("SamplesPerPixel", 1)) != 1:
            raise InputError(f"{name}: a colour image; give the grey-valued series it was made from")
        if "ModalityLUTSequence" in dataset:
            raise InputError(f"{name}: values behind a table (Modality LUT), which is not read; export without it")
        if dataset.SOPClassUID in CLASSIC:
            return [_image([dataset], dataset, entry, None)]
        assert dataset.SOPClassUID in ENHANCED
        return list(_frames(dataset, entry))


def functional_groups(dataset: Dataset, frame: int) -> list[Dataset]:
    """The data sets that speak of ``frame`` (from 0) of a multi-frame object, its own first, then the shared."""
    found: list[Dataset] = []
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    for group in [*own[frame : frame + 1], *(dataset.get("SharedFunctionalGroupsSequence") or [])]:
        found += [item for element in group if element.VR == "SQ" and element.value for item in element.value[:1]]
    return found


def _frames(dataset: Dataset, entry: Entry) -> Iterator[Image]:
    count = int(dataset.get("NumberOfFrames", 1))
    own = len(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if not 1 <= count <= MOST_FRAMES or own not in (0, count):
        raise InputError(f"{entry.name}: claims {count} frames and describes {own}; export it again")
    for frame in range(count):
        yield _image([*functional_groups(dataset, frame), dataset], dataset, entry, frame)


def _image(parts: Sequence[Dataset], dataset: Dataset, entry: Entry, frame: int | None) -> Image:
    def get(keyword: str) -> Any:
        return next((p[keyword].value for p in parts if keyword in p and p[keyword].value not in (None, "")), None)

    try:
        where = place(get("ImagePositionPatient"), get("ImageOrientationPatient"))
    except (TypeError, ValueError):
        raise InputError(f"{entry.name}: has no position or orientation; give original images") from None
    spacing = [float(v) for v in get("PixelSpacing") or ()]
    if len(spacing) != 2 or not all(math.isfinite(v) and v > 0 for v in spacing):
        raise InputError(f"{entry.name}: has no pixel spacing; give the original series")
    slope, intercept = _number(get("RescaleSlope"), 1.0), _number(get("RescaleIntercept"), 0.0)
    if slope is None or intercept is None or slope == 0:
        raise InputError(f"{entry.name}: its rescale slope or intercept is no number; export it again")
    return Image(
        entry=entry,
        sop_class=str(dataset.SOPClassUID),
        uid=str(dataset.SOPInstanceUID),
        frame=frame,
        place=where,
        spacing=(spacing[0], spacing[1]),
        size=(int(dataset.Rows), int(dataset.Columns)),
        thickness=_length(get("SliceThickness")),
        stated_distance=_length(get("SpacingBetweenSlices")),
        slope=slope,
        intercept=intercept,
        window=_window(get("WindowCenter"), get("WindowWidth")),
        order=(*(_number(get(k), 0.0) or 0.0 for k in ORDER), float(frame or 0)),
    )


def _number(value: Any, default: float | None) -> float | None:
    """``value``, or the first of several, as a number; ``default`` where there is none, None where it is no number."""
    many = not isinstance(value, str | bytes) and hasattr(value, "__len__")
    value = (value[0] if len(value) else None) if many else value
    if value is None:
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _length(value: Any) -> float | None:
    number = _number(value, None)
    return number if number is not None and number > 0 else None


def _window(centre: Any, width: Any) -> tuple[float, float] | None:
    """The first window, where it is one: some scanners write a width of 0."""
    c, w = _number(centre, None), _number(width, None)
    return (c, w) if c is not None and w is not None and w >= 1 else None
