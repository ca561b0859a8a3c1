"""How much of a volume a network sees in one call: as much as memory allows, and never a part of a slice."""

from __future__ import annotations

VOXELS_AT_ONCE = 1_000_000
"""Slice voxels of one network call, unless a memory limit asks for fewer."""
VOLUME_BYTES = 400
"""What a megabyte of ``--memory`` holds of a volume prior: one voxel of a network call, at one voxel a cell."""
FORWARD_BYTES, GRADIENT_BYTES = 600, 1200
"""What a megabyte of ``--memory`` holds: one slice voxel of a network call, without and with its gradient."""


def voxels_at_once(memory: int | None, each: int) -> int:
    """Slice voxels of one network call that may take ``memory`` megabytes; ``each``: bytes of one of them."""
    return VOXELS_AT_ONCE if memory is None else memory * 2**20 // each


def largest_call(shape: tuple[int, ...], slab: int, parts: bool, voxels: int) -> int:
    """Slice voxels of the largest call over the axes of a volume ``shape`` that ``voxels`` allow; one slab at least.

    ``slab``: slices of a slab, or with ``parts`` the parts of a complex slice.
    """
    found = 0
    for count in shape:
        area = _product(shape) // count
        slabs = count if parts else -(-count // slab)
        found = max(found, min(max(1, voxels // (area * slab)), slabs) * area * slab)
    return found


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for count in shape:
        total *= count
    return total
