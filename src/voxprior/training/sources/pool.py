"""The volumes that examples are cut from: with more than memory holds, a few at a time, one of which is exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.training.sources.detect import tell_left_out
from voxprior.training.sources.volumes import HELD, Scanned
from voxprior.training.subject import Subject

STAY = 4
"""Batches after which one volume of those held is exchanged."""
ON_DUTY = HELD - 2
"""Volumes in files that a batch is cut from; memory has room for some that were just exchanged."""
TRIES = 20
"""Draws before a data set with so many files that cannot be read is given up."""


class Pool:
    """Subjects to draw from, with ``weights`` (one each, of sum 1); after :meth:`turn` a few of those in files."""

    def __init__(self, subjects: Sequence[Subject], weights: NDArray[np.float64]) -> None:
        self.subjects, self.weights = subjects, weights
        self.held = ON_DUTY if any(isinstance(s, Scanned) for s in subjects) else len(subjects)
        self.shift = np.arange(len(subjects))

    def turn(self, seed: int, step: int) -> None:
        """Hold the volumes of batch ``step``: a function of (seed, step) alone."""
        self.shift = on_duty(seed, step, len(self.subjects), self.held)

    def draw(self, rng: np.random.Generator) -> Subject:
        """One of the volumes held that can be read; others are told of in a warning.

        Raises :class:`InputError` when none can be read.
        """
        weights = self.weights
        if len(self.shift) < len(self.subjects):
            weights = weights[self.shift] / weights[self.shift].sum()
        fault = InputError("no training volume")
        for _ in range(TRIES):
            subject = self.subjects[int(self.shift[int(rng.choice(len(self.shift), p=weights))])]
            if not isinstance(subject, Scanned):
                return subject
            try:
                _ = subject.image
            except InputError as error:
                fault = error
                tell_left_out(subject.file.path.parent, {subject.file.path: str(error).split(": ", 1)[-1]})
            else:
                return subject
        raise fault


def on_duty(seed: int, step: int, count: int, held: int) -> NDArray[np.int64]:
    """Numbers below ``count`` of the volumes that batch ``step`` is cut from, sorted: ``held`` of them at most.

    After :data:`STAY` batches the one that served longest gives way to the next in a random order, in which each volume
    comes once before any comes again.
    """
    if count <= held:
        return np.arange(count)
    first = step // STAY
    return np.unique([_order(seed, place // count, count)[place % count] for place in range(first, first + held)])


@lru_cache(maxsize=4)
def _order(seed: int, rounds: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, rounds, count)).permutation(count)
