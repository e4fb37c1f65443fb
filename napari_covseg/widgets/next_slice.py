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
        self._offered: Suggestion | None = None
        desk.opened.connect(self._on_opened)
        desk.weighed.connect(self._on_weighed)
        desk.states_changed.connect(self._tell)
        desk.viewer.dims.events.current_step.connect(self._on_step)

    def close(self) -> None:
        """Follow the reader no more."""
        self.desk.viewer.dims.events.current_step.disconnect(self._on_step)

    @property
    def suggestion(self) -> Suggestion | None:
        """Where to go next; None where every slice is reviewed, or no scan is open.

        It is the slice on screen only where that is the last one left.
        """
        opened = self.desk.bench.current
        if opened is None:
            return None
        unsure, marks = opened.proposals.uncertain_voxels, opened.session.marks.keys()
        here = (gestures.slice_shown(self.desk),)
        tries = ((marks | self._led_to, here), (marks, here), (marks, ()))
        return next(filter(None, (suggestion(unsure, opened.scan.geometry, *each) for each in tries)), None)

    def go(self) -> None:
        """Show the slice that is suggested."""
        opened = self.desk.bench.current
        if opened is None:
            return
        if len(opened.session.marks.keys() | self._led_to) == opened.scan.geometry.shape[0]:
            self._led_to.clear()  # all were shown: begin anew
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

    def _on_step(self) -> None:
        """Suggest another slice once the reader came to the one that is suggested by herself."""
        if self._offered is not None and self._offered.index == gestures.slice_shown(self.desk):
            self._led_to.add(self._offered.index)
            self._tell()

    def _tell(self) -> None:
        self._offered = self.suggestion
        self.changed.emit()
