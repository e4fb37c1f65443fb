"""The table of lesions kept up to date while the window lives: a few slices per turn of its loop, never all at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_covseg.review import Correction, Lesion, LesionTable
from napari_covseg.workbench import OpenScan

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

TURN_S = 0.02
"""How long the window may be kept at it in one turn."""

REST_MS = 20
"""What the window has for itself between two turns."""


class LesionWatch:
    """Looks at slices that changed, and tells the lesions once it has seen them all.

    Parameters
    ----------
    desk
        Whose scan.
    """

    counted = Signal(tuple)

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.lesions: tuple[Lesion, ...] = ()
        self._opened: OpenScan | None = None
        self._table: LesionTable | None = None
        self._waiting: set[int] = set()
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

    def end(self) -> None:
        """Watch no more."""
        self._timer.stop()
        self._opened = self._table = None
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
