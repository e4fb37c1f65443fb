"""What napari calls by other names from release 0.9 on: the marks on the picture, and fitting it to the window."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer


def text_overlay(viewer: Viewer) -> Any:
    """Return the note in the corner of the picture."""
    return viewer.canvas.overlays.text if hasattr(viewer, "canvas") else viewer.text_overlay


def scale_bar(viewer: Viewer) -> Any:
    """Return the ruler on the picture."""
    return viewer.canvas.overlays.scale_bar if hasattr(viewer, "canvas") else viewer.scale_bar


def fit(viewer: Viewer) -> None:
    """Show the whole slice as large as it goes."""
    (viewer.fit_to_view if hasattr(viewer, "fit_to_view") else viewer.reset_view)()
