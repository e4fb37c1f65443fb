"""How long each slice was on screen: a mark keeps it, so that a slice marked without a look is told before signing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_covseg.widgets.gestures import slice_shown

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk


class Looks:
    """Tells the session what the reader had before her eyes.

    Parameters
    ----------
    desk
        Whose scan.
    now_s
        The clock.
    """

    def __init__(self, desk: Desk, now_s: Callable[[], float] = time.monotonic) -> None:
        self.desk, self.now_s = desk, now_s
        self._index, self._since_s = 0, now_s()
        desk.opened.connect(self._begin)
        desk.viewer.dims.events.current_step.connect(self.count)

    def count(self) -> None:
        """Tell the session of the slice that was on screen until now."""
        session = self.desk.session
        if session is not None and self._index < session.geometry.shape[0]:
            session.saw(self._index, self.now_s() - self._since_s)
        self._begin()

    def close(self) -> None:
        """Count no more."""
        self.desk.viewer.dims.events.current_step.disconnect(self.count)

    def _begin(self) -> None:
        self._index, self._since_s = slice_shown(self.desk), self.now_s()
