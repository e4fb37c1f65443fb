"""The lungs as a network drew them: one more labels layer, there once there is something to show."""

from __future__ import annotations

from napari.layers import Labels
from napari.viewer import Viewer
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_covseg.volume import LUNGS
from napari_covseg.widgets.layer_list import rest_thumbnail
from napari_covseg.widgets.layers import colours, placed, slipped_in
from napari_covseg.widgets.outlines import outline
from napari_covseg.workbench import Lungs, OpenScan

NAME = "lung"
OPACITY = 0.8


class LungLayer:
    """Shows the lungs of the scan on the bench, outlined, below the lesions; hidden until the reader asks for them.

    The layer shows the bench's own array, so it grows while slices come in. It cannot be painted on.

    Parameters
    ----------
    viewer
        Where.
    """

    shown = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.layer: Labels | None = None
        self._redraw = QTimer()
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(0)
        self._redraw.timeout.connect(self._refresh)

    @property
    def is_shown(self) -> bool:
        """Whether lungs can be seen."""
        return self.layer is not None and self.layer in self.viewer.layers and self.layer.visible

    def show(self, opened: OpenScan, below: Labels) -> None:
        """Show what is known of a scan's lungs, if anything is, below the layer that is painted on."""
        if not opened.lungs.slices:
            return
        if self.layer is None:
            self._add(opened, opened.lungs, below)
        self._redraw.start()

    def let_go(self, *, remove: bool = False) -> None:
        """Forget the layer, and take it off the picture where that is asked for."""
        self._redraw.stop()
        layer, self.layer = self.layer, None
        if remove and layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
        self.shown.emit()

    def toggle(self) -> bool:
        """Show or hide the lungs and return whether there are any."""
        if self.layer is None or self.layer not in self.viewer.layers:
            return False
        self.layer.visible = not self.layer.visible
        return True

    def _add(self, opened: OpenScan, lungs: Lungs, below: Labels) -> None:
        layer = Labels(lungs.labels.values, name=NAME, opacity=OPACITY, colormap=colours(LUNGS), **placed(opened))
        layer.editable, layer.visible = False, False
        outline(layer, 1)
        rest_thumbnail(layer)
        layer.events.visible.connect(self._tell)
        self.layer = layer
        slipped_in(layer, self.viewer.layers, below)
        self._tell()

    def _tell(self) -> None:
        self.shown.emit()

    def _refresh(self) -> None:
        if self.layer is not None:
            self.layer.refresh(extent=False)
