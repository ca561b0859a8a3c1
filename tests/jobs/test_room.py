"""What is left of the memory of a machine and of the control groups around a process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from voxprior.jobs.room import available, out_of_memory, resident

MACHINE = "MemTotal: 9000 kB\nMemAvailable: 3000 kB\nSwapFree: 1000 kB\n"
FREE = 4000 * 1024
MIB = 2**20


def _system(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in {"proc/meminfo": MACHINE, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def _second(place: str, limit: str, usage: int, cached: int = 0) -> dict[str, str]:
    base = f"sys/fs/cgroup{place}"
    stat = f"anon 5\ninactive_file {cached}\n"
    return {f"{base}/memory.max": limit, f"{base}/memory.current": str(usage), f"{base}/memory.stat": stat}


def _first(place: str, limit: int, usage: int, cached: int = 0) -> dict[str, str]:
    base = f"sys/fs/cgroup/memory{place}"
    return {
        f"{base}/memory.limit_in_bytes": f"{limit}\n",
        f"{base}/memory.usage_in_bytes": f"{usage}\n",
        f"{base}/memory.stat": f"inactive_file 3\ntotal_inactive_file {cached}\n",
    }


def test_without_groups_the_machine_counts(tmp_path: Path) -> None:
    """Guards swap, without which systems that page are refused work that they can do."""
    assert available(_system(tmp_path, {})) == FREE


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"proc/self/cgroup": "0::/\n", **_second("", "3000000\n", 1000000, 500000)}, 2500000),
        ({"proc/self/cgroup": "0::/job\n", **_second("/job", "max\n", 10), **_second("", "2000", 500)}, 1500),
        ({"proc/self/cgroup": "0::/a/b\n", **_second("/a/b", "900", 100), **_second("/a", "2000", 1500)}, 500),
        ({"proc/self/cgroup": "0::/../x\n", **_second("/x", "900", 100)}, 800),
        ({"proc/self/cgroup": "4:cpu:/\n2:memory:/job\n0::/\n", **_first("/job", 3000, 1000, 200)}, 2200),
        ({"proc/self/cgroup": "2:memory:/docker/0a1b\n", **_first("", 3000, 1000)}, 2000),
        ({"proc/self/cgroup": "2:memory:/\n", **_first("", 0x7FFFFFFFFFFFF000, 1000)}, FREE),
        ({"proc/self/cgroup": "4:cpu:/job\n", **_first("/job", 30, 10)}, FREE),
        ({"proc/self/cgroup": "0::/\n", **_second("", "700", 900)}, 0),
        ({"proc/self/cgroup": "0::/\n", **_second("", "nonsense", 900)}, FREE),
    ],
    ids=["v2", "around", "nested", "above", "v1", "outside-path", "v1-unlimited", "not-memory", "over", "garbage"],
)
def test_the_tightest_group_counts(tmp_path: Path, files: dict[str, str], left: int) -> None:
    """Guards containers of both versions, limits of groups around, and caches that the system gives back."""
    assert available(_system(tmp_path, files)) == left


def test_a_system_that_says_nothing_gives_what_is_built_in_or_none(tmp_path: Path) -> None:
    """Guards other systems: no /proc is no error."""
    found = available(tmp_path)
    assert found is None or found > 100 * MIB


def test_what_a_process_has_of_its_own_leaves_files_out(tmp_path: Path) -> None:
    """Guards the figure that predictions are of: mapped libraries are no burden, and what was swapped out is one."""
    status = "VmRSS:\t 900 kB\nRssAnon:\t 500 kB\nRssFile:\t 400 kB\nVmSwap:\t 20 kB\n"
    for process in ("self", 7):
        where = _system(tmp_path, {f"proc/{process}/status": status})
        assert resident(process, where) == 520 * 1024
    assert resident(8, tmp_path) is None
    assert resident(7, _system(tmp_path, {"proc/7/status": "VmRSS: 900 kB\n"})) is None


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error: Exception, ran_out: bool) -> None:
    """Guards that a mistake of the program is never taken for a small machine."""
    assert out_of_memory(error) is ran_out
