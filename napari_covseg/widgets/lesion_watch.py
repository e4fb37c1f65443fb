"""The table of lesions kept up to date while the window lives: a few slices per turn of its loop, never all at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_covseg.review import Correction, Lesion, LesionTable
from napari_covseg.widgets import gestures
from napari_covseg.workbench import OpenScan

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

TURN_S = 0.02
"""How long the window may be kept at it in one turn."""

REST_MS = 20
"""What the window has for itself between two turns."""

NO_LESION = "There is no lesion to go to."


class LesionWatch:
    """Looks at slices that changed, and tells the lesions once it has seen them all.

    Parameters
    ----------
    desk
        Whose scan.
    """

    counted = Signal(tuple)
    shown = Signal(Lesion)

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.lesions: tuple[Lesion, ...] = ()
        self._opened: OpenScan | None = None
        self._table: LesionTable | None = None
        self._waiting: set[int] = set()
        self._at: Lesion | None = None
        self._rank = 0
        self._goes_on = False
        desk.opened.connect(self.end)
        desk.labels_changed.connect(self.note)
        self._timer = QTimer(desk)
        self._timer.setInterval(REST_MS)
        self._timer.timeout.connect(self._go_on)

    @property
    def is_up_to_date(self) -> bool:
        """Whether every slice was looked at since it changed."""
        return not self._waiting

    def begin(self, opened: OpenScan) -> None:
        """Watch this scan: only slices with something on them are looked at."""
        if opened is self._opened:
            return
        self.end()
        values = opened.session.labels.values
        self._opened, self._table = opened, LesionTable(np.zeros_like(values), opened.scan)
        tally = self.desk.link.tally
        held = np.sum(list(tally.per_slice.values()), axis=0) if tally else np.ones(len(values))
        self._waiting = {int(at) for at in np.flatnonzero(held)}
        self._timer.start()

    def note(self, correction: Correction) -> None:
        """Look again at the slices that a correction reached, when there is time."""
        if self._table is not None:
            self._waiting.update(correction.slices)
            self._timer.start()

    def go_to_next(self) -> None:
        """Show the next lesion, largest first and round again; while they are counted, as soon as that is done."""
        opened = self.desk.bench.current
        if opened is None:
            return
        self.begin(opened)
        self._goes_on = bool(self._waiting)
        if self._waiting:
            return
        if not self.lesions:
            self.desk.bench.said.emit(NO_LESION)
            return
        places = [(each.value, each.place) for each in self.lesions]
        was = (self._at.value, self._at.place) if self._at else None
        after = places.index(was) + 1 if was in places else self._rank
        self._rank = after % len(places)
        self._at = self.lesions[self._rank]
        gestures.point_at(self.desk, self._at.place)
        self.shown.emit(self._at)

    def end(self) -> None:
        """Watch no more."""
        self._timer.stop()
        self._opened = self._table = self._at = None
        self._goes_on, self._rank, self.lesions = False, 0, ()
        self._waiting.clear()

    def _go_on(self) -> None:
        if self._table is None or self._opened is None:
            return
        values, until = self._opened.session.labels.values, time.perf_counter() + TURN_S
        while self._waiting and time.perf_counter() < until:
            at = self._waiting.pop()
            self._table.look_again(values, range(at, at + 1))
        if not self._waiting:
            self._timer.stop()
            self.lesions = self._table.lesions
            self.counted.emit(self.lesions)
            if self._goes_on:
                self.go_to_next()
