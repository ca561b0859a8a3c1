"""The lines of an ISMRMRD file: which belong to the image, to the noise, and to neither."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError

Rows = NDArray[np.int64]

# Flags by their number in the format, counted from 1.
NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE = 19, 20, 21, 22
NOT_IMAGING = {
    23: "navigator",
    24: "phase correction",
    26: "feedback",
    27: "dummy",
    28: "feedback",
    29: "coil correction",
    30: "phase stabilisation",
    31: "phase stabilisation",
}
HEADS_AT_ONCE = 4096
LINES_AT_ONCE = 64
STEPS = ("kspace_encode_step_1", "kspace_encode_step_2")
COUNTERS = (*STEPS, "slice", "contrast", "phase", "repetition", "set")
FIELDS = (
    "flags",
    "number_of_samples",
    "active_channels",
    "discard_pre",
    "discard_post",
    "center_sample",
    "encoding_space_ref",
    "sample_time_us",
    "position",
    "read_dir",
    "phase_dir",
    "slice_dir",
)


@dataclass(frozen=True, eq=False)
class Heads:
    """Columns of the heads of lines, by name; ``row`` is where each line lies in the file."""

    row: Rows
    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def where(self, keep: NDArray[np.bool_]) -> Heads:
        """The lines of which ``keep`` is true."""
        return Heads(self.row[keep], {name: column[keep] for name, column in self.columns.items()})

    def flagged(self, number: int) -> NDArray[np.bool_]:
        """Which lines have the flag ``number``, counted from 1."""
        bit: NDArray[np.bool_] = (self["flags"].astype(np.uint64) >> np.uint64(number - 1)) & np.uint64(1) == 1
        return bit


def read_heads(data_set: Any, name: str) -> Heads:
    """The heads of all lines, without their samples; :class:`InputError` when the data set holds no lines."""
    if "head" not in (data_set.dtype.names or ()) or "data" not in data_set.dtype.names or not len(data_set):
        raise InputError(f"{name}: its ISMRMRD group holds no acquisitions; give raw data, not images")
    parts: dict[str, list[NDArray[Any]]] = {field: [] for field in (*FIELDS, *COUNTERS)}
    for head in _head_blocks(data_set):
        for field in FIELDS:
            parts[field].append(np.array(head[field]))
        for field in COUNTERS:
            parts[field].append(head["idx"][field].astype(np.int64))
    return Heads(np.arange(len(data_set)), {field: np.concatenate(part) for field, part in parts.items()})


def _head_blocks(data_set: Any) -> Iterator[NDArray[Any]]:
    """The heads, some thousands at a time.

    From the bytes of the chunks where that is possible: asked for the heads alone, HDF5 reads the samples too, and
    h5py never frees them.
    """
    kind, count = data_set.id.get_type(), len(data_set)
    plain = data_set.chunks is not None and not data_set.id.get_create_plist().get_nfilters()
    if not plain:
        heads = data_set.fields("head")
        yield from (heads[start : start + HEADS_AT_ONCE] for start in range(0, count, HEADS_AT_ONCE))
        return
    member = kind.get_member_index(b"head")
    place, head = kind.get_member_offset(member), kind.get_member_type(member).dtype
    record = np.dtype({"names": ["head"], "formats": [head], "offsets": [place], "itemsize": kind.get_size()})
    size = data_set.chunks[0]
    step = -(-HEADS_AT_ONCE // size) * size
    for first in range(0, count, step):
        starts = range(first, min(first + step, count), size)
        raw = b"".join(data_set.id.read_direct_chunk((start,))[1] for start in starts)
        yield np.frombuffer(raw, record)["head"][: count - first]


def imaging_lines(heads: Heads, calibration: str, name: str) -> tuple[Heads, Heads, list[str]]:
    """Lines of the image, lines of the noise scan, and what was left out in words.

    ``calibration``: the header's mode of calibration; lines for calibration alone belong to the image where they are
    embedded in it or interleaved with it. Of several contrasts, phases, repetitions or sets the first is taken.
    """
    noise = heads.flagged(NOISE)
    image, warnings = heads.where(~noise), []
    for number, what in NOT_IMAGING.items():
        left_out = image.flagged(number)
        if left_out.any():
            warnings.append(f"{int(left_out.sum())} {what} lines are left out")
            image = image.where(~left_out)
    alone = image.flagged(CALIBRATION) & ~image.flagged(CALIBRATION_AND_IMAGING)
    if alone.any() and not alone.all() and calibration not in ("embedded", "interleaved"):
        mode = calibration or "not stated"
        warnings.append(f"{int(alone.sum())} lines are for calibration alone (mode {mode}): left out")
        image = image.where(~alone)
    for counter in ("encoding_space_ref", "contrast", "phase", "repetition", "set"):
        values = np.unique(image[counter])
        if values.size > 1:
            word = {"encoding_space_ref": "encoding"}.get(counter, counter)
            warnings.append(f"{values.size} {word}s ({_range(values)}): {word} {values[0]} is read")
            image = image.where(image[counter] == values[0])
    if not len(image):
        raise InputError(f"{name}: holds no lines of an image, only noise or navigators; give the file of the scan")
    coils = np.unique(image["active_channels"])
    if coils.size > 1:
        raise InputError(f"{name}: lines have {_range(coils)} coils; export one scan a file")
    return image, heads.where(noise), warnings


def read_lines(data_set: Any, rows: Rows) -> Iterator[NDArray[np.complex64]]:
    """The samples of the lines at ``rows`` (ascending), each (coil * samples,); neighbours are read together."""
    samples = data_set.fields("data")
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        for start in range(0, len(run), LINES_AT_ONCE):
            part = run[start : start + LINES_AT_ONCE]
            for values in samples[int(part[0]) : int(part[-1]) + 1]:
                yield np.ascontiguousarray(values, dtype=np.float32).view(np.complex64)


def _range(values: NDArray[Any]) -> str:
    numbers = [str(v) for v in values.tolist()]
    return ", ".join(numbers) if len(numbers) <= 8 else f"{numbers[0]} to {numbers[-1]}"
