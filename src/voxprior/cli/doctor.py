"""``voxprior doctor``: what a bug report needs, and nothing that says who or where."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

from voxprior.cli.show import say

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "asimd", "bf16", "sve")
PACKAGES = (
    "voxprior",
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "nibabel",
    "pydantic",
    "cyclopts",
    "rich",
    "safetensors",
    "matplotlib",
    "jinja2",
)


def doctor() -> int:
    """Print versions, processor, memory and what else a bug report needs; no paths and no names."""
    for name, value in report():
        say(f"{name}: {value}")
    return 0


def report() -> Iterator[tuple[str, str]]:
    """Pairs of a thing and its value."""
    from importlib import metadata

    yield "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "python", f"{platform.python_implementation()} {platform.python_version()}"
    for package in PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            yield package, "not installed as a package"
    yield "processor", _processor()
    yield "memory", _memory()
    yield from _torch()
    yield "temporary files", _temporary()


def _processor() -> str:
    import os

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        words = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return f"{usable} cores"
    return f"{usable} cores; {' '.join(flag for flag in FLAGS if flag in words) or 'no vector flags of note'}"


def _memory() -> str:
    import os

    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (page * os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return "not known"
    return f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free"


def _torch() -> Iterator[tuple[str, str]]:
    import torch

    yield "torch threads", str(torch.get_num_threads())
    yield "torch processor code", torch.backends.cpu.get_cpu_capability()
    yield "cuda", f"{torch.version.cuda or 'not built in'}, {torch.cuda.device_count()} devices"
    yield "mps", "there" if torch.backends.mps.is_available() else "not there"


def _temporary() -> str:
    try:
        with tempfile.TemporaryFile() as stream:
            stream.write(b"x")
    except OSError as error:
        return f"NOT writable ({error.strerror})"
    return "writable"
