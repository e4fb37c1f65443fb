"""Torch brought in while somebody works at the window: an import must not hold it still."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = (("libtorch_global_deps", "RTLD_GLOBAL"), ("libtorch", "RTLD_LOCAL"))
"""What ``import torch`` loads, in its order and its modes."""


@contextmanager
def bringing_in_torch() -> Iterator[None]:
    """Import in this block what needs torch, on the compute thread.

    Two things would hold every other thread for a third of a second and longer each: Python loads libraries without
    letting go of its lock, and it looks through all objects there are for garbage again and again while an import makes
    new ones. So the libraries are loaded first, with the lock let go, and the collector rests in the meantime. What was
    imported stays for good, and is not looked through later either.
    """
    if "torch" not in sys.modules:
        _load_libraries()
    known, collecting = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if collecting:
            gc.enable()


def _load_libraries() -> None:
    """Load torch's own libraries where the system has `dlopen`; what cannot be loaded is the import's to tell."""
    spec = find_spec("torch")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for name, mode in LIBRARIES:
            for path in Path(folder, "lib").glob(f"{name}.[sd][oy]*"):
                _dlopen(path, getattr(os, mode))


def _dlopen(path: Path, mode: int) -> None:
    """Load a library as any foreign function is called: without Python's lock, which `ctypes.CDLL(path)` keeps."""
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    dlopen(os.fsencode(path), os.RTLD_NOW | mode)
