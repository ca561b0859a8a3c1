"""What a run will need, predicted from its size before anything is computed: the one place that predicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from voxprior import registry
from voxprior.jobs.options import SharedOptions
from voxprior.operators.base import Compose, Measurement
from voxprior.operators.tomography import Tomography
from voxprior.priors.portion import FORWARD_BYTES, GRADIENT_BYTES, VOXELS_AT_ONCE, largest_call, voxels_at_once

MEGABYTE = 2**20


@dataclass(frozen=True)
class Size:
    """How large a run is.

    ``shape``: of the image that is restored in one piece; ``count``: how many, one after the other. ``data``: measured
    numbers of all. ``held``: numbers of the operator of a piece: coil sensitivities, or pixels of a slice times views.
    """

    shape: tuple[int, ...]
    count: int = 1
    data: int = 0
    held: int = 0

    @property
    def voxels(self) -> int:
        """Of all images."""
        return self.count * math.prod(self.shape)


@dataclass(frozen=True)
class Way:
    """How a run works: its settings as far as memory and time depend on them. ``memory``: megabytes of a call."""

    job: str
    method: str
    mode: str | None
    steps: int = 0
    samples: int = 1
    memory: int | None = None
    weights: str | None = None


class Row(NamedTuple):
    """What a way of working takes.

    Peak memory of the process, bytes: ``base``, and for each voxel of the image, voxel of a sample, measured number,
    number of the operator, slice voxel of the largest network call up to ``VOXELS_AT_ONCE``, and beyond (the blocks are
    then so large that the system takes them back at once). Work, in multiply-adds of a bare convolution: for each
    multiply-add of the network, voxel, measured number, and measured number in each call. ``calls``: of the network for
    each step of a sample, for each step, and once. ``tile``: bytes that a slice voxel of a call counts in ``--memory``;
    0: calls cannot be made smaller.
    """

    base: float
    voxel: float = 0.0
    sample: float = 0.0
    datum: float = 0.0
    held: float = 0.0
    call: float = 0.0
    beyond: float = 0.0
    network: float = 0.0
    once: float = 0.0
    start: float = 0.0
    product: float = 0.0
    calls: tuple[int, int, int] = (0, 0, 0)
    tile: int = 0


_MB = MEGABYTE
_HEAD = Row(351 * _MB, voxel=23.8, sample=3.0, call=417, beyond=193, network=1.63, tile=FORWARD_BYTES)
_SPLINE = Row(350 * _MB, voxel=21.0, once=900)
_COILS = Row(471 * _MB, voxel=112, datum=12, held=271, start=1e3)
_RAYS = Row(397 * _MB, voxel=8.0, held=33.8)
TABLE: dict[tuple[str, str, str | None], Row] = {
    ("sr", "voxprior", "mean"): _HEAD._replace(calls=(0, 0, 2)),
    ("sr", "voxprior", "sample"): _HEAD._replace(calls=(1, 0, 2)),
    ("sr", "tpdm", None): Row(
        451 * _MB, voxel=23.4, sample=16.1, call=685, beyond=685, network=4.7, calls=(2, 0, 0), tile=GRADIENT_BYTES
    ),
    ("sr", "nearest", None): _SPLINE,
    ("sr", "linear", None): _SPLINE,
    ("sr", "cubic", None): _SPLINE,
    ("sr", "cubic-projected", None): Row(347 * _MB, voxel=24.4, once=6200),
    ("recon", "voxprior", "mean"): _COILS._replace(
        base=430 * _MB, voxel=300, held=520, call=433, network=1.63, start=1.5e5, product=4e4, calls=(0, 1, 0)
    ),
    ("recon", "voxprior", "sample"): _COILS._replace(
        base=430 * _MB, voxel=300, sample=40, held=520, call=433, network=1.63, start=1.5e5, product=4e4,
        calls=(1, 0, 1),
    ),
    ("recon", "tpdm", None): Row(
        451 * _MB, voxel=40, sample=16, datum=70, call=685, beyond=685, network=4.7, product=8e4, calls=(2, 0, 0),
        tile=GRADIENT_BYTES,
    ),
    ("recon", "hfs-sde", None): _COILS._replace(call=433, network=1.63, start=1.5e5, product=4e4, calls=(2, 0, 0)),
    ("recon", "ve-sde", None): _COILS._replace(call=433, network=1.63, start=1.5e5, product=4e4, calls=(2, 0, 0)),
    ("recon", "vp-sde", None): _COILS._replace(call=433, network=1.63, start=1.5e5, product=4e4, calls=(2, 0, 0)),
    ("recon", "zero-filled", None): _COILS,
    ("recon", "sense", None): _COILS._replace(start=1.5e5),
    ("recon", "tv", None): _COILS._replace(start=4e5),
    ("ct", "voxprior", "mean"): Row(
        349 * _MB, voxel=66, held=43, call=545, beyond=545, network=1.63, start=1.5e6, product=1.3e5, calls=(0, 1, 0),
        tile=GRADIENT_BYTES,
    ),
    ("ct", "voxprior", "sample"): Row(
        349 * _MB, voxel=66, sample=16, held=43, call=545, beyond=545, network=1.63, start=1.5e6, product=1.3e5,
        calls=(1, 1, 1), tile=GRADIENT_BYTES,
    ),
    ("ct", "tpdm", None): Row(
        440 * _MB, voxel=66, sample=16, held=43, call=545, beyond=545, network=4.7, product=1e5, calls=(2, 0, 0),
        tile=GRADIENT_BYTES,
    ),
    ("ct", "fbp", None): _RAYS._replace(start=5e4),
    ("ct", "cgls", None): _RAYS._replace(start=7.5e5),
    ("ct", "tv", None): _RAYS._replace(start=1.5e6),
    ("generate", "voxprior", None): Row(
        324 * _MB, voxel=24.1, sample=3.0, call=473, beyond=473, network=1.63, calls=(1, 0, 0), tile=FORWARD_BYTES
    ),
    ("generate", "tpdm", None): Row(
        361 * _MB, voxel=46.0, sample=3.0, call=290, beyond=290, network=1.63, calls=(2, 0, 0), tile=GRADIENT_BYTES
    ),
}
"""Job, method and mode to what it takes; ``python benchmarks/memory.py`` measures these rows and prints them."""


class Counts(NamedTuple):
    """What the coefficients of a :class:`Row` are for, in their order: six of memory, four of work."""

    voxels: int
    sampled: int
    data: int
    held: int
    call: int
    beyond: int
    network: float
    once: int
    start: int
    products: int


@dataclass(frozen=True)
class Plan:
    """What a run of ``voxels`` of output will need.

    ``memory``: peak of the process, bytes; ``base`` of it are the program, and ``network`` one network call of ``call``
    slice voxels, ``each`` of which takes so much at most. ``work``: in multiply-adds of a bare convolution.
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
    held = 0
    if isinstance(operator, Tomography):
        held = math.prod(operator.geometry.shape) * operator.geometry.views
    elif getattr(operator, "maps", None) is not None:
        held = operator.maps.numel()
    shape = getattr(operator, "shape", None)
    if shape is None:
        shape = operator.adjoint(measurement.y).shape[1:]
    return Size(tuple(shape), parts, parts * measurement.y.numel(), held)


def way(job: str, options: SharedOptions, values: Any) -> Way:
    """The way of ``options`` whose resolved settings of the method are ``values``."""
    mode = getattr(values, "mode", None)
    drawn = getattr(values, "samples", 0) if mode != "mean" else 0
    numbers = getattr(values, "steps", 0), drawn, getattr(values, "memory", None)
    return Way(job, options.method, mode, *numbers, getattr(values, "weights", None))


def predict(how: Way, size: Size) -> Plan | None:
    """What a run will need; None for a way that was never measured."""
    row = TABLE.get((how.job, how.method, how.mode))
    if row is None:
        return None
    c = counts(how, size, row)
    memory = row.base + sum(a * b for a, b in zip(row[1:7], c[:6], strict=True))
    work = sum(a * b for a, b in zip(row[7:11], c[6:], strict=True))
    network = row.call * c.call + row.beyond * c.beyond
    return Plan(size.voxels, round(memory), round(row.base), round(network), c.call + c.beyond, row.call, work)


def counts(how: Way, size: Size, row: Row) -> Counts:
    """The numbers that memory and work are proportional to."""
    each, shared, once = row.calls
    calls = how.steps * (each * how.samples + shared) + (once if how.samples <= 1 else 0)
    card = _card(how)
    nominal = float(card.get("multiply_adds_per_voxel_and_plane", 0.0))
    call = _call(size, card, voxels_at_once(how.memory, row.tile) if row.tile else 1) if any(row.calls) else 0
    return Counts(
        voxels=size.voxels,
        sampled=size.voxels * how.samples,
        data=size.data,
        held=size.held,
        call=min(call, VOXELS_AT_ONCE),
        beyond=max(call - VOXELS_AT_ONCE, 0),
        network=calls * size.voxels * nominal,
        once=size.voxels,
        start=size.data,
        products=calls * size.data,
    )


def smaller(how: Way, size: Size, memory: int) -> Way | None:
    """The same with network calls of ``memory`` megabytes, or None where that makes none of them smaller."""
    row = TABLE.get((how.job, how.method, how.mode))
    if row is None or row.tile == 0:
        return None
    fewer = replace(how, memory=memory)
    now, then = (counts(way, size, row) for way in (how, fewer))
    return fewer if then.call + then.beyond < now.call + now.beyond else None


def megabytes(how: Way, voxels: float | None = None) -> int:
    """What ``--memory`` would say for network calls of ``voxels`` slice voxels, or of as many as ``how`` has."""
    tile = TABLE[how.job, how.method, how.mode].tile
    if voxels is None:
        return VOXELS_AT_ONCE * tile // MEGABYTE if how.memory is None else how.memory
    return max(0, int(voxels * tile / MEGABYTE))


def _call(size: Size, card: Mapping[str, Any], at_once: int) -> int:
    """Slice voxels of the largest network call."""
    config = card.get("config", {})
    slab, parts = config.get("slab", 2), config.get("slab") == 2 and config.get("halo") == 0
    return largest_call(size.shape if len(size.shape) == 3 else (1, *size.shape), slab, parts, at_once)


def _card(how: Way) -> Mapping[str, Any]:
    """Of the weights, where they are in the package; else of those that the method has by default."""
    by_default = registry.DEFAULT_WEIGHTS.get(how.job, {}).get(how.method)
    name = how.weights if how.weights in registry.weight_names() else by_default
    return {} if name is None else registry.weights_table()[name].card
