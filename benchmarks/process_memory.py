"""What Linux says of this process's memory.

``resource.getrusage`` is no help: of a process that another one began it tells the other's peak, if that was larger.
"""

from __future__ import annotations

from pathlib import Path


def status_kib(key: str) -> int:
    """Return a figure of ``/proc/self/status`` in KiB: ``VmRSS`` for what it holds now, ``VmHWM`` for its peak."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
