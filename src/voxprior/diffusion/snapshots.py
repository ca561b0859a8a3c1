"""Looking at a run while it walks: a wrapper around its states that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from voxprior.diffusion.sample import PREVIOUS, State
from voxprior.errors import InputError

Show = Callable[[int, Tensor], None]
"""Called with the number of rows done and the estimate (sample, *space)."""


def central(kept: dict[int, tuple[Tensor, ...]], scale: float = 1.0) -> Show:
    """Keeps the middle slice normal to each axis of the first sample, times ``scale``, on the CPU; a slice as it is."""

    def show(index: int, estimate: Tensor) -> None:
        x = estimate[0].cpu() * scale
        kept[index] = tuple(x.select(axis, n // 2).clone() for axis, n in enumerate(x.shape)) if x.ndim == 3 else (x,)

    return show


def watched(states: Iterable[State], period: int | None, show: Show) -> Iterator[State]:
    """The states as they come; after every ``period``-th row ``show`` is called with the clean estimate.

    ``period`` None: never. Works for every sampler, since the estimate is in the memory of each state.
    """
    if period is not None and period < 1:
        raise InputError(f"a snapshot every {period} steps; give at least 1")
    for state in states:
        if period is not None and state.index % period == 0:
            show(state.index, state.memory[PREVIOUS])
        yield state
