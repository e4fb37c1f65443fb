"""Outlines two pixels wide on screen, near or far: napari counts their width in voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_covseg.widgets.picture import Pane, camera

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

PIXELS = 2.0
WIDEST_VOXELS = 6
WAIT_MS = 120
"""The width follows when the wheel rests."""


class OutlineWidth:
    """Adapts the outlines to the zoom.

    Parameters
    ----------
    desk
        Whose outlines.
    pane
        On which picture.
    """

    def __init__(self, desk: Desk, pane: Pane) -> None:
        self.desk, self.pane = desk, pane
        self._later = QTimer(pane.native)
        self._later.setSingleShot(True)
        self._later.setInterval(WAIT_MS)
        self._later.timeout.connect(self._adapt)
        camera(pane.model).events.zoom.connect(self._on_zoom)
        desk.opened.connect(self._adapt)
        desk.lungs_shown.connect(self._adapt)

    def close(self) -> None:
        """Listen no more."""
        self._later.stop()
        camera(self.pane.model).events.zoom.disconnect(self._on_zoom)

    def _on_zoom(self) -> None:
        self._later.start()

    def _adapt(self) -> None:
        link = self.desk.link
        if link.layers is None:
            return
        voxels = contour_voxels(camera(self.pane.model).zoom * float(link.layers.outlines.scale[-1]))
        for layer in (link.layers.outlines, link.lungs.layer):
            if layer is not None and layer.contour != voxels:
                layer.contour = voxels


def contour_voxels(pixels_per_voxel: float) -> int:
    """Return how many voxels are nearest to the width of an outline, at least one."""
    return min(max(round(PIXELS / pixels_per_voxel), 1), WIDEST_VOXELS)
