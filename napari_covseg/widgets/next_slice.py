"""The slice that is most worth looking at next, from one to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_covseg.review.queue import Suggestion, suggestion
from napari_covseg.widgets import gestures

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

LEAST_ML = 0.05
"""Less than this rounds to nothing."""

ALL_REVIEWED = "Every slice is reviewed."


class NextSlice(QObject):  # type: ignore[misc]
    """Leads from slice to slice of the queue; those that the reader was led to are not suggested twice in a row.

    Parameters
    ----------
    desk
        Whose scan.
    """

    changed = Signal()

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.desk = desk
        self._led_to: set[int] = set()
        desk.opened.connect(self._on_opened)
        desk.weighed.connect(self._on_weighed)
        desk.states_changed.connect(self._tell)

    @property
    def suggestion(self) -> Suggestion | None:
        """Where to go next; None where every slice is reviewed, or no scan is open."""
        opened = self.desk.bench.current
        if opened is None:
            return None
        unsure, marks = opened.proposals.uncertain_voxels, opened.session.marks.keys()
        found = suggestion(unsure, opened.scan.geometry, marks | self._led_to)
        return found or suggestion(unsure, opened.scan.geometry, marks)

    def go(self) -> None:
        """Show the slice that is suggested; where it is on screen already, the one after it."""
        opened = self.desk.bench.current
        if opened is None:
            return
        if len(opened.session.marks.keys() | self._led_to) == opened.scan.geometry.shape[0]:
            self._led_to.clear()  # all were shown: begin anew
        found = self.suggestion
        if found is not None and found.index == gestures.slice_shown(self.desk):
            self._led_to.add(found.index)
            found = self.suggestion
        if found is None:
            self.desk.bench.said.emit(ALL_REVIEWED)
            return
        self._led_to.add(found.index)
        gestures.go_to(self.desk, found.index)
        self._tell()

    def _on_opened(self) -> None:
        self._led_to.clear()
        self._tell()

    def _on_weighed(self, index: int) -> None:
        self._led_to.discard(index)
        self._tell()

    def _tell(self) -> None:
        self.changed.emit()
