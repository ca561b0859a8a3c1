"""What a run will need, predicted from its size before anything is computed: the one place that predicts.

Memory here is that of the process's own: pages that belong to no file. Pages of the libraries and of mapped input come
on top of it, some hundred megabytes, but the system drops those when it needs room, so they hinder no run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from voxprior import registry
from voxprior.jobs.options import DEFAULT_METHOD, SharedOptions
from voxprior.jobs.rows import TABLE, Row
from voxprior.jobs.withheld import CHECKED
from voxprior.operators.base import Compose, Measurement
from voxprior.operators.block_solve import CHUNK
from voxprior.operators.fourier import Fourier
from voxprior.operators.separable import Separable
from voxprior.operators.tomography import Tomography
from voxprior.priors.portion import VOLUME_BYTES, VOXELS_AT_ONCE, largest_call, voxels_at_once
from voxprior.priors.volume import VolumePriorConfig
from voxprior.priors.volume_bound import cell_axis, on_cells, tiles_of

MEGABYTE = 2**20
VOLUMES = "volume-prior"
"""What a card calls a network of volumes."""
_COSINES = VolumePriorConfig().cosines
_TOLD_FOR = 4
"""Fine voxels a cell for which a card tells the multiply-adds of a voxel."""
_WALKED = 0.228
"""Part of the published table that mri-sr walks, unless told a number of steps."""
_BUILT = 3
"""Copies of the matrices that are built at once, beside the one of all that is kept."""


@dataclass(frozen=True)
class Size:
    """How large a run is.

    ``shape``: of the image that is restored in one piece; ``count``: how many, one after the other. ``data``: measured
    numbers of all. ``held``: numbers of the operator of a piece: coil sensitivities, or pixels of a slice times views.
    ``solved``: entries of the matrices by which it is solved exactly. ``cells``: the array axis that a volume prior
    cuts into cells, and fine voxels a cell.
    """

    shape: tuple[int, ...]
    count: int = 1
    data: int = 0
    held: int = 0
    solved: int = 0
    cells: tuple[int, int] = (2, 1)

    @property
    def voxels(self) -> int:
        """Of all images."""
        return self.count * math.prod(self.shape)


@dataclass(frozen=True)
class Way:
    """How a run works: its settings as far as memory and time depend on them.

    ``network``: ``volume`` where the option for a 3-D network is given. ``memory``: megabytes of a call.
    """

    job: str
    method: str
    mode: str | None
    steps: int = 0
    samples: int = 1
    memory: int | None = None
    weights: str | None = None
    network: str | None = None


class Counts(NamedTuple):
    """What the coefficients of a :class:`Row` are for, in their order: seven of memory, four of work."""

    voxels: int
    sampled: int
    data: int
    held: int
    solved: int
    call: int
    beyond: int
    network: float
    once: int
    start: int
    products: float


@dataclass(frozen=True)
class Plan:
    """What a run of ``voxels`` of output will need.

    ``memory``: most of its own that the process has at a time, bytes; ``base`` of it are the program, and ``network``
    one network call of ``call`` slice voxels (of a volume prior: places of cells), ``each`` of which takes so much at
    most. ``work``: in multiply-adds of a bare convolution.
    """

    voxels: int
    memory: int
    base: int
    network: int
    call: int
    each: float
    work: float


def size_of(measurement: Measurement, parts: int = 1) -> Size:
    """The size of a run over ``parts`` such measurements, one after the other."""
    operator: Any = measurement.operator
    if isinstance(operator, Compose):
        operator = operator.outer
    shape = getattr(operator, "shape", None)
    if shape is None:
        shape = operator.adjoint(measurement.y).shape[1:]
    size = Size(tuple(shape), parts, parts * measurement.y.numel())
    if isinstance(operator, Tomography):
        return replace(size, held=math.prod(operator.geometry.shape) * operator.geometry.views)
    if isinstance(operator, Fourier) and operator.maps is not None:
        return replace(size, held=operator.maps.numel(), solved=_solved(operator))
    if isinstance(operator, Separable) and operator.axes:
        axis = cell_axis(operator.axes)
        cut = (on_cells(g, _COSINES) for g in operator.axes if g.axis == axis)
        return replace(size, cells=(axis, next((g.fine_count // g.count for g in cut), 1)))
    return size


def _solved(operator: Fourier) -> int:
    """Matrix entries of the largest exact solve: of a stack together, or where that is too much, of a slice."""
    if operator.entries or operator.maps is None or len(operator.axes) == len(operator.shape):
        return operator.entries
    return Fourier(operator.mask[0], operator.maps[:, 0]).entries


def way(job: str, options: SharedOptions, values: Any) -> Way:
    """The way of ``options`` whose resolved settings of the method are ``values``."""
    mode = getattr(values, "mode", None)
    drawn = getattr(values, "samples", 0) if mode != "mean" else 0
    steps = getattr(values, "steps", 0)
    if steps is None:  # mri-sr
        steps = round(_WALKED * values.table)
    volume = "volume" in (getattr(values, "planes", None), getattr(values, "network", None))
    settings = steps, drawn, getattr(values, "memory", None), getattr(values, "weights", None)
    return Way(job, options.method, mode, *settings, "volume" if volume else None)


def row_of(how: Way) -> Row | None:
    """What ``how`` takes; None for a way that was never measured."""
    return TABLE.get((how.job, how.method, how.mode, how.network))


def predict(how: Way, size: Size) -> Plan | None:
    """What a run will need; None for a way that was never measured."""
    row = row_of(how)
    if row is None:
        return None
    c = counts(how, size, row)
    memory = row.base + sum(a * b for a, b in zip(row[1:8], c[:7], strict=True))
    work = sum(a * b for a, b in zip(row[8:12], c[7:], strict=True))
    network = row.call * c.call + row.beyond * c.beyond
    return Plan(size.voxels, round(memory), round(row.base), round(network), c.call + c.beyond, row.call, work)


def counts(how: Way, size: Size, row: Row) -> Counts:
    """The numbers that memory and work are proportional to."""
    each, shared, once = row.calls
    calls: float = how.steps * (each * how.samples + shared) + (once if how.samples <= 1 else 0)
    if (how.job, how.method) == ("recon", DEFAULT_METHOD):  # the error of some slices is measured by one more run
        calls += how.steps * min(CHECKED / size.count, 1)
    card = _card(how) if any(row.calls) else {}
    call = _call(size, card, how.memory, row.tile) if card else 0
    blocks = call if row.tile == VOLUME_BYTES else min(call, VOXELS_AT_ONCE)
    return Counts(
        voxels=size.voxels,
        sampled=size.voxels * how.samples,
        data=size.data,
        held=size.held,
        solved=size.solved + _BUILT * min(size.solved, CHUNK),
        call=blocks,
        beyond=call - blocks,
        network=calls * size.voxels * _multiply_adds(card, size),
        once=size.voxels,
        start=size.data,
        products=calls * size.data,
    )


def smaller(how: Way, size: Size, memory: int) -> Way | None:
    """The same with network calls of ``memory`` megabytes, or None where that makes none of them smaller."""
    row = row_of(how)
    if row is None or row.tile == 0:
        return None
    fewer = replace(how, memory=memory)
    now, then = (counts(way, size, row) for way in (how, fewer))
    return fewer if then.call + then.beyond < now.call + now.beyond else None


def megabytes(how: Way, size: Size, call: float) -> int:
    """What ``--memory`` would say for network calls of ``call`` slice voxels, or places of cells."""
    row = TABLE[how.job, how.method, how.mode, how.network]
    each = row.tile * (size.cells[1] if row.tile == VOLUME_BYTES else 1)
    return max(0, int(call * each / MEGABYTE))


def _call(size: Size, card: Mapping[str, Any], memory: int | None, tile: int) -> int:
    """Slice voxels of the largest network call, or of a volume prior the places of its cells."""
    if card["kind"] == VOLUMES:
        return _places(size, VolumePriorConfig.model_validate(card["config"]), memory)
    config = card["config"]
    slab, parts = config["slab"], config["slab"] == 2 and config["halo"] == 0
    shape = size.shape if len(size.shape) == 3 else (1, *size.shape)
    return largest_call(shape, slab, parts, voxels_at_once(memory, tile) if tile else 1)


def _places(size: Size, config: VolumePriorConfig, memory: int | None) -> int:
    axis, fine = size.cells
    tiles = tiles_of(config, fine)
    if memory is not None:
        tiles = tiles.at_most(memory * MEGABYTE // VOLUME_BYTES)
    shape = size.shape[axis], *(n for a, n in enumerate(size.shape) if a != axis)
    return math.prod(min(n, most) for n, most in zip(shape, tiles.size, strict=True)) // fine


def _multiply_adds(card: Mapping[str, Any], size: Size) -> float:
    """Of one pass over the volume, a voxel."""
    if card.get("kind") == VOLUMES:
        return float(card["multiply_adds_per_voxel"]) * _TOLD_FOR / size.cells[1]
    return float(card.get("multiply_adds_per_voxel_and_plane", 0.0))


def _card(how: Way) -> Mapping[str, Any]:
    """Of the weights, where they are in the package; else of those that the method has by default."""
    method = f"{how.job}/{how.method}"
    asked = f"{method} --mode {how.mode}", f"{method} --planes {how.network}", f"{method} --network {how.network}"
    by_option = next((registry.OPTION_WEIGHTS[name] for name in asked if name in registry.OPTION_WEIGHTS), None)
    name = by_option or registry.DEFAULT_WEIGHTS.get(how.job, {}).get(how.method)
    if how.weights in registry.weight_names():
        name = how.weights
    return {} if name is None else registry.weights_table()[name].card
