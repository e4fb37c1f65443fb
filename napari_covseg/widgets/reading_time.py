"""How long a scan was read: the time in which something happened now and then, not that of a lunch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

TOLD_EVERY_S = 15.0
PAUSE_S = 120.0
"""Who does nothing for longer is not reading."""


class ReadingTime:
    """Counts, and tells the seconds every now and then and when another scan comes.

    Parameters
    ----------
    desk
        Whose scan is read.
    tell
        Called with seconds; the scan they belong to is still on the bench, save after `opened`, when they are told no
        more.
    now_s
        The clock.
    """

    def __init__(self, desk: Desk, tell: Callable[[float], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self.desk, self.tell, self.now_s = desk, tell, now_s
        self._told_until_s = self._active_at_s = now_s()
        self._timer = QTimer(desk)
        self._timer.setInterval(round(1000 * TOLD_EVERY_S))
        self._timer.timeout.connect(self.count)
        desk.opened.connect(self._on_opened)
        desk.labels_changed.connect(self.note)
        desk.states_changed.connect(self.note)
        desk.viewer.dims.events.current_step.connect(self.note)

    def note(self) -> None:
        """Something happened."""
        now = self.now_s()
        if now - self._active_at_s > PAUSE_S:
            self._told_until_s = now
        self._active_at_s = now

    def count(self) -> None:
        """Tell what was not told yet."""
        seconds = self._active_at_s - self._told_until_s
        if seconds > 0:
            self._told_until_s = self._active_at_s
            self.tell(seconds)

    def close(self) -> None:
        """Count no more."""
        self._timer.stop()
        self.desk.viewer.dims.events.current_step.disconnect(self.note)

    def _on_opened(self) -> None:
        self._told_until_s = self._active_at_s = self.now_s()
        self._timer.start()
