"""A volume and its maps become files beside a target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from voxprior.io.outputs import Transaction, sibling, write_pair, write_volume
from voxprior.volume import Volume


class Imaged(Protocol):
    """What jobs give whose images are volumes."""

    @property
    def image(self) -> Volume:
        """The result."""

    @property
    def std(self) -> Volume | None:
        """Standard deviation."""

    @property
    def interval(self) -> tuple[Volume, Volume] | None:
        """Lower and upper bound."""

    @property
    def invented(self) -> Volume:
        """What the data do not determine."""

    @property
    def samples(self) -> tuple[Volume, ...]:
        """Posterior samples, possibly none."""


def write_images(out: Transaction, target: Path, found: Imaged) -> Iterator[Path]:
    """Write the image and its maps, and name each as it is done."""
    maps: list[tuple[str, Volume | None]] = [("std", found.std), ("invented", found.invented)]
    maps += [(f"sample-{k + 1:02d}", sample) for k, sample in enumerate(found.samples)]
    write_volume(out.path(target), found.image)
    yield target
    for tag, volume in maps:
        if volume is not None:
            path = sibling(target, tag)
            write_volume(out.path(path), volume)
            yield path
    if found.interval is not None:
        path = sibling(target, "interval")
        write_pair(out.path(path), *found.interval)
        yield path
