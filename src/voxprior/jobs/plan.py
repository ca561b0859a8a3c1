"""What a restoration will need, predicted from the size of its output before anything is computed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from voxprior import registry
from voxprior.jobs.options import DEFAULT_METHOD, SrOptions
from voxprior.volume import SliceGeometry

MULTIPLY_ADDS_A_SECOND = 25e9
"""Of the network on two processor cores, measured; a graphics processor is many times faster."""
BYTES_BASE = 640 * 2**20
"""Of the program with its libraries and one network call."""
BYTES_A_VOXEL = 36
"""Of the volumes that are held at once: measurement, image, maps and what is being written."""
BYTES_A_SAMPLE_VOXEL = 8
PLANES = 2
"""Passes over the volume of the mean estimate, one a plane that holds the slice axis."""
BASELINE_SECONDS_A_VOXEL = 3e-8


@dataclass(frozen=True)
class Plan:
    """Predicted peak memory, bytes, and time of the restoration alone, seconds, for ``voxels`` of output."""

    voxels: int
    memory: int
    seconds: float


def plan(geometry: SliceGeometry, shape: tuple[int, int, int], options: SrOptions) -> Plan:
    """What restoring slices of array ``shape`` by ``options`` will need, on two cores."""
    voxels = geometry.fine_count
    for axis, count in enumerate(shape):
        voxels *= 1 if axis == geometry.axis else count
    sampled = options.samples if options.mode == "sample" else 0
    memory = BYTES_BASE + voxels * (BYTES_A_VOXEL + BYTES_A_SAMPLE_VOXEL * sampled)
    if options.method != DEFAULT_METHOD:
        return Plan(voxels, memory, voxels * BASELINE_SECONDS_A_VOXEL)
    passes = PLANES if options.mode != "sample" else options.steps * options.samples
    return Plan(voxels, memory, passes * voxels * _multiply_adds() / MULTIPLY_ADDS_A_SECOND)


def _multiply_adds() -> float:
    """Of the bundled weights, a voxel and plane; read from their card."""
    cards = [json.loads((registry.WEIGHTS / f"{name}.json").read_bytes()) for name in registry.weight_names()]
    return max((float(card.get("multiply_adds_per_voxel_and_plane", 0)) for card in cards), default=0.0)
