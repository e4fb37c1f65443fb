"""The window is another program: here it is only started, so that the command line needs neither napari nor Qt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def hindrance() -> str:
    """Return why no window can open and what to do about it, in one sentence; empty if one can."""
    if find_spec("napari") is None or not any(find_spec(binding) for binding in QT_BINDINGS):
        return "napari is not installed here; pip install 'napari-covseg[gui]' brings it."
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "There is no screen to open napari on; run this on a desktop, or put 'xvfb-run' before it."
    return ""


def open_window(arguments: Sequence[str]) -> None:
    """Run napari with the plugin until it is closed.

    Raises
    ------
    OSError
        If it ended with an error.
    """
    command = [sys.executable, "-m", "napari_covseg.widgets", *arguments]
    status = subprocess.run(command, check=False, stdout=sys.__stderr__).returncode  # stdout is for the answer
    if status:
        raise OSError(f"napari ended with an error (exit code {status}); what it printed above says why.")
