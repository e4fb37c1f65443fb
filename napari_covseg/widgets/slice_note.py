"""Which slice is on screen, where on the table, and whether it is reviewed: in the corner, where the reader looks."""

from __future__ import annotations

from typing import Any, ClassVar

from napari_covseg.volume import Geometry
from napari_covseg.widgets.canvas_label import Place
from napari_covseg.widgets.canvas_note import CanvasNote
from napari_covseg.widgets.gestures import slice_shown

FLAT = 2
"""As napari counts the axes that it shows."""


class SliceNote(CanvasNote):
    """Slice, table position, and the mark."""

    place: ClassVar[Place] = "top_right"

    def listen(self) -> None:
        """Follow scrolling and marks."""
        self.desk.states_changed.connect(self.say)
        for event in self._moves():
            event.connect(self.say)

    def close(self) -> None:
        """Listen no more."""
        for event in self._moves():
            event.disconnect(self.say)

    def told(self) -> str:
        """Return where the reader is; nothing in 3-D, where all slices are shown at once."""
        session = self.desk.session
        if session is None or self.desk.viewer.dims.ndisplay != FLAT:
            return ""
        index = slice_shown(self.desk)
        reviewed = "   ✓ reviewed" if index in session.marks else ""
        where = f"slice {index + 1} of {session.geometry.shape[0]}{reviewed}"
        return f"{where}\ntable {table_mm(session.geometry, index)} mm"

    def _moves(self) -> tuple[Any, Any]:
        events = self.desk.viewer.dims.events
        return events.current_step, events.ndisplay


def table_mm(geometry: Geometry, index: int) -> str:
    """Return where a slice's middle is along the patient, as scanners write it: up is positive."""
    _, rows, columns = geometry.shape
    position_mm = geometry.to_mm((index, (rows - 1) / 2, (columns - 1) / 2))[2]
    return f"{position_mm + 0.0:.1f}".replace("-", "−")
