"""A session's scan on the worklist: what happens in the one is told to the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from napari_covseg.review.reader_names import same_reader
from napari_covseg.review.session import ReviewSession
from napari_covseg.review.worklist import IN_REVIEW, REJECTED, SIGNED, Worklist


class Turn:
    """Takes the scan of a session on the worklist, says when it is signed or open again, and counts the minutes.

    Parameters
    ----------
    worklist
        Where; a scan that is not on it is left alone.
    session
        What is followed.
    path
        The scan.
    complain
        Is told in a sentence where another reader has the scan, or the database cannot be reached; the review goes on.
    """

    def __init__(self, worklist: Worklist, session: ReviewSession, path: Path, complain: Callable[[str], None]) -> None:
        self._worklist, self._session, self._path, self._complain = worklist, session, path, complain
        self._minutes_before, self._complained = session.minutes, ""
        session.states_changed.connect(self._follow)
        self._follow()

    def close(self) -> None:
        """Stop following, and add up the minutes."""
        self._session.states_changed.disconnect(self._follow, missing_ok=True)
        seconds = 60 * (self._session.minutes - self._minutes_before)
        self._try(lambda: self._worklist.spend(self._path, seconds))

    def _follow(self) -> None:
        if not self._session.is_read_only:
            self._try(self._tell)

    def _tell(self) -> None:
        entry, reader = self._worklist.entry(self._path), self._session.reader
        if entry is None or entry.state == REJECTED:
            return
        if self._session.signature is not None:
            if entry.state != SIGNED:
                self._worklist.sign(self._path, self._session.signature.reader)
            return
        if entry.state == SIGNED and not same_reader(entry.reader, reader):
            return  # a second reading takes no scan from the first
        if entry.state == SIGNED:
            self._worklist.put_back(self._path, reader)
        if entry.state != IN_REVIEW or not same_reader(entry.reader, reader):
            self._worklist.take(self._path, reader)

    def _try(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except ValueError as error:
            if self._complained != str(error):  # once, not at every mark
                self._complained = str(error)
                self._complain(self._complained)
        except SQLAlchemyError as error:
            self._complain(
                f"The worklist could not be reached ({type(error).__name__}); the review goes on without it."
            )
