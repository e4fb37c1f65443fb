"""Which slice is on screen and whether it is reviewed, in the corner of the picture, where the reader looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_covseg.widgets.gestures import slice_shown
from napari_covseg.widgets.picture import text_overlay

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk


class SliceNote:
    """Keeps the note up to date.

    Parameters
    ----------
    desk
        What to listen to.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.opened.connect(self._show)
        desk.states_changed.connect(self._show)
        desk.viewer.dims.events.current_step.connect(self._show)

    def close(self) -> None:
        """Listen no more."""
        self.desk.viewer.dims.events.current_step.disconnect(self._show)

    def _show(self) -> None:
        session = self.desk.session
        if session is None:
            return
        index = slice_shown(self.desk)
        note = text_overlay(self.desk.viewer)
        note.text = (
            f"slice {index + 1} of {session.geometry.shape[0]}{'  ✓ reviewed' if index in session.marks else ''}"
        )
        note.visible = True
