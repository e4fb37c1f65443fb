"""The brush is in hand only while the lesions are selected: any other layer lets the mouse move the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_covseg.widgets import gestures
from napari_covseg.widgets.pen import TOOLS, timer

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

LET_GO = "The brush is put down, since the lesions are not selected any more. Paint (P) or Erase (E) takes it up."


class Grip:
    """Puts the brush down when the reader selects another layer, and says how it is taken up again.

    Parameters
    ----------
    desk
        Whose brush.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk, self._selected = desk, desk.viewer.layers.selection.events.active
        self._soon = timer(0, self._look)  # a layer that is slipped in below is selected for a moment
        self._selected.connect(self._on_selected)

    def close(self) -> None:
        """Look no more."""
        self._selected.disconnect(self._on_selected)
        self._soon.stop()

    def _on_selected(self) -> None:
        self._soon.start()

    def _look(self) -> None:
        lesions = gestures.lesions_of(self.desk)
        if lesions is None or self.desk.viewer.layers.selection.active is lesions or str(lesions.mode) not in TOOLS:
            return
        lesions.mode = "pan_zoom"
        self.desk.bench.said.emit(LET_GO)
