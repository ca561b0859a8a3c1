"""How much memory there is for this process, and whether an error says that there is none left.

What counts is memory that the system cannot take back: neither pages of files, such as libraries, nor caches.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
UNLIMITED = 1 << 60
"""A limit of a version 1 group from which on there is none."""
_VERSION_2 = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
_VERSION_1 = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
_TEXTS = "out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory"


def available(root: Path | None = None) -> int | None:
    """Bytes that this process can still take: the least of what the machine and its control groups have left.

    ``root``: the folder that holds ``proc`` and ``sys``. None where the system does not tell.
    """
    where = ROOT if root is None else root
    known = [value for value in (_machine(where), *_groups(where)) if value is not None]
    return min(known, default=None)


def resident(process: int | str = "self", root: Path | None = None) -> int | None:
    """Bytes of the own memory of ``process`` (its number) now; None where the system does not tell.

    Its own is what belongs to no file, swapped out or not: the system cannot drop it, as it can libraries and input.
    """
    try:
        lines = ((ROOT if root is None else root) / f"proc/{process}/status").read_text(encoding="ascii").splitlines()
        kilobytes = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines) if rest.split()}
        return (int(kilobytes["RssAnon"]) + int(kilobytes.get("VmSwap", 0))) * 1024
    except (OSError, ValueError, KeyError):
        return None


def device_available(device: str) -> int | None:
    """Bytes that a torch device has left, with what torch keeps for itself there; None for the processor."""
    import torch

    kind = torch.device(device)
    if kind.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(kind)
    return int(free) + torch.cuda.memory_reserved(kind) - torch.cuda.memory_allocated(kind)


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out: of Python, numpy, or torch on any device."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _TEXTS)
    )


def _machine(root: Path) -> int | None:
    """What the system could give, swap included; where it does not say so, all that is built in."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return (kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0)) * 1024
    except (OSError, ValueError, IndexError, KeyError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _groups(root: Path) -> Iterator[int]:
    """What is left in each control group of this process that has a limit, those around it included."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        folder, *names = _VERSION_1 if controllers else _VERSION_2
        # Inside a container the path may be one of the outside, which is not there: the groups around it are.
        inner = PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in ("/", "..")))
        for place in (inner, *inner.parents):
            left = _left(root / folder / place, *names)
            if left is not None:
                yield left


def _left(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    """Limit less usage; files that the system keeps in memory without need do not count as used."""
    try:
        most, used = (int((folder / name).read_text(encoding="ascii")) for name in (limit, usage))
    except (OSError, ValueError):  # "max" is no limit
        return None
    if most >= UNLIMITED:
        return None
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        used -= next((int(line.split()[1]) for line in lines if line.split()[:1] == [cache]), 0)
    except (OSError, ValueError, IndexError):
        pass
    return max(most - used, 0)
