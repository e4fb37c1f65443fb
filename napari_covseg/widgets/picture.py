"""The picture: what is drawn on, and what napari calls by other names from release 0.9 on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import Dims
from napari.viewer import Viewer
from qtpy.QtWidgets import QWidget

BLACK = "black"
_fitted: WeakKeyDictionary[Any, tuple[float, ...]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, eq=False)
class Pane:
    """One picture on screen: napari's model of what is in it, and the widget it is drawn on."""

    model: Any
    native: QWidget


def pane_of(viewer: Viewer) -> Pane:
    """Return the window's own picture."""
    return Pane(viewer, viewer.window._qt_viewer.canvas.native)


def scale_bar(viewer: Viewer) -> Any:
    """Return the ruler on the picture."""
    return viewer.canvas.overlays.scale_bar if hasattr(viewer, "canvas") else viewer.scale_bar


def camera(model: Any) -> Any:
    """Return the camera of a viewer or of its model."""
    return model.scene.camera if hasattr(model, "scene") else model.camera


def fit(viewer: Viewer) -> None:
    """Show the whole slice as large as it goes."""
    (viewer.fit_to_view if hasattr(viewer, "fit_to_view") else viewer.reset_view)()
    _fitted[viewer] = _view_of(viewer)


def is_fitted(viewer: Viewer) -> bool:
    """Whether a picture was fitted, and neither zoomed nor moved since."""
    return viewer in _fitted and bool(np.allclose(_fitted[viewer], _view_of(viewer)))


def _view_of(viewer: Viewer) -> tuple[float, ...]:
    return (camera(viewer).zoom, *camera(viewer).center[-2:])


def is_on_screen(dims: Dims, slices: Collection[int]) -> bool:
    """Whether any of these axial slices can be seen: one is, unless the axes were exchanged or all are, in 3-D."""
    return 0 in dims.displayed or int(dims.current_step[0]) in slices


def as_on_a_light_box(model: Any) -> None:
    """Rows go down and columns to the right, whatever napari was set to, on black in either theme."""
    camera(model).orientation2d = ("down", "right")
    if hasattr(model, "canvas"):
        # Where the brush is taken up again, napari draws a box behind its circle, and leaves it there when the brush is
        # put down: a black square on the picture. It has no public word for that circle.
        model.canvas.overlays._brush_circle.box = False
        model.canvas.background_color_override = BLACK
