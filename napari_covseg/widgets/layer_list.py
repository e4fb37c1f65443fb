"""napari's list of layers kept quiet while the reader scrolls: every slice painted it anew, and the window with it."""

from __future__ import annotations

from typing import Any
from weakref import WeakMethod

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

REST_MS = 400
SHOWN = frozenset({"thumbnail", "visible", "name", "loaded", "locked"})
"""What the list shows of a layer; napari takes any event of any layer for a reason to paint it."""


class QuietList:
    """Tells the list of layers only what it shows.

    Parameters
    ----------
    viewer
        Whose list.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._events = viewer.layers.events
        self._tell = viewer.window._qt_viewer.layers.model().sourceModel()._process_event
        self._events.disconnect(self._tell)
        self._events.connect(self._pass_on)

    def close(self) -> None:
        """Leave the list as napari made it."""
        self._events.disconnect(self._pass_on)
        self._events.connect(self._tell)

    def _pass_on(self, event: Any) -> None:
        if event.type in SHOWN:
            self._tell(event)


def rest_thumbnail(layer: Layer) -> None:
    """Let a layer's thumbnail follow a moment after the picture, once nothing has changed for that long."""
    drawn = WeakMethod(layer._update_thumbnail)
    timer = QTimer()
    timer.setSingleShot(True)
    timer.setInterval(REST_MS)

    def draw() -> None:
        if (now := drawn()) is not None:
            now()

    timer.timeout.connect(draw)
    layer._update_thumbnail = timer.start  # napari offers no other way in
