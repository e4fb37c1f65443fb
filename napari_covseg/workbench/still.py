"""The labels of a session as they are at one moment, for tools that work beside the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_covseg.review import Correction, ReviewSession

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_covseg.review.correction import Box

MOST_BOXES = 64
"""After more corrections than this all is copied again."""


class StillLabels:
    """A copy of a session's labels that is brought up to date where corrections reached since, and used again."""

    def __init__(self) -> None:
        self._session: ReviewSession | None = None
        self._values: npt.NDArray[np.uint8] = np.empty((0, 0, 0), dtype=np.uint8)
        self._since: list[Box] = []

    def of(self, session: ReviewSession, *, is_read: bool) -> npt.NDArray[np.uint8]:
        """Return the labels (D, H, W) as they are now.

        Parameters
        ----------
        session
            Whose labels.
        is_read
            Whether a tool may still read what was returned before; that is then left as it is.
        """
        values = session.labels.values
        if is_read or session is not self._session or len(self._since) > MOST_BOXES:
            self._follow(session)
            if is_read or self._values.shape != values.shape:
                self._values = np.empty_like(values)
            np.copyto(self._values, values)
        else:
            for box in self._since:
                self._values[box] = values[box]
        self._since.clear()
        return self._values

    def let_go(self) -> None:
        """Follow no session any more; the memory stays for the next."""
        if self._session is not None:
            self._session.changed.disconnect(self._note, missing_ok=True)
        self._session = None
        self._since.clear()

    def _follow(self, session: ReviewSession) -> None:
        if session is not self._session:
            self.let_go()
            self._session = session
            session.changed.connect(self._note)

    def _note(self, correction: Correction) -> None:
        if len(self._since) <= MOST_BOXES:
            self._since.append(correction.box)
