"""Which slice is on screen, where on the table, and whether it is reviewed: in the corner, where the reader looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_covseg.volume import Geometry
from napari_covseg.widgets.canvas_label import CanvasLabel
from napari_covseg.widgets.gestures import slice_shown
from napari_covseg.widgets.picture import Pane

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk


class SliceNote:
    """Keeps the note up to date.

    Parameters
    ----------
    desk
        What to listen to.
    pane
        On which picture.
    """

    def __init__(self, desk: Desk, pane: Pane) -> None:
        self.desk = desk
        self.label = CanvasLabel(pane.native, "top_right")
        desk.opened.connect(self._show)
        desk.states_changed.connect(self._show)
        desk.viewer.dims.events.current_step.connect(self._show)
        self._show()

    def close(self) -> None:
        """Listen no more."""
        self.desk.viewer.dims.events.current_step.disconnect(self._show)

    def _show(self) -> None:
        session = self.desk.session
        if session is None:
            return
        index = slice_shown(self.desk)
        reviewed = "   ✓ reviewed" if index in session.marks else ""
        where = f"slice {index + 1} of {session.geometry.shape[0]}{reviewed}"
        self.label.say(f"{where}\ntable {table_mm(session.geometry, index)} mm")


def table_mm(geometry: Geometry, index: int) -> str:
    """Return where a slice's middle is along the patient, as scanners write it: up is positive."""
    _, rows, columns = geometry.shape
    position_mm = geometry.to_mm((index, (rows - 1) / 2, (columns - 1) / 2))[2]
    return f"{position_mm + 0.0:.1f}".replace("-", "−")
