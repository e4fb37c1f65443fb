"""Whether a scan fits into memory, asked before it is read."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

RESERVE = 1.1
"""What reading a scan takes beside its voxels: a few slices, a few headers."""

_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


def available_bytes() -> int:
    """Return how much memory this process may still take: the machine's, the container's, or the shell's limit."""
    return max(0, min([int(psutil.virtual_memory().available), *_container_bytes(), *_limit_bytes()]))


def require_memory(name: str, voxels: int, bytes_per_voxel: float) -> None:
    """Refuse a scan that does not fit.

    Raises
    ------
    ValueError
        If it would take more memory than is available.
    """
    needed, available = voxels * bytes_per_voxel * RESERVE, available_bytes()
    if needed > available:
        raise ValueError(
            f"{name} needs {_gb(needed)} of memory and {_gb(available)} are free; close other programs, "
            "or open it on a machine with more memory."
        )


def _gb(count: float) -> str:
    return f"{count / 2**30:.1f} GB"


def _container_bytes() -> list[int]:
    """Return what the container's limit leaves, under either version of Linux's control groups."""
    found = []
    for limit_name, used_name, stat_name in _CGROUP_FILES:
        try:
            limit, used, stat = ((_CGROUP / name).read_text("ascii") for name in (limit_name, used_name, stat_name))
        except OSError:
            continue
        if limit.strip().isdecimal():
            found.append(int(limit) - int(used) + _file_cache_bytes(stat))
    return found


def _file_cache_bytes(stat: str) -> int:
    """Return what a container's memory holds of files and gives back when asked."""
    return sum(
        int(line.split()[1]) for line in stat.splitlines() if line.startswith(("inactive_file ", "active_file "))
    )


def _limit_bytes() -> list[int]:
    if sys.platform == "win32":
        return []
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if soft == resource.RLIM_INFINITY else [soft - psutil.Process().memory_info().vms]
