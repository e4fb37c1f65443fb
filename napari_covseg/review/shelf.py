"""The sessions that one window has open, and the worklist that follows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_covseg.jobs import Job, Progress
from napari_covseg.review.opening import is_session
from napari_covseg.review.places import (
    OWN_BESIDE,
    FoundAt,
    Place,
    facts_in,
    folder_for_another_reader,
    folders_beside,
    folders_of,
    place_of,
    session_at,
)
from napari_covseg.review.reader_names import name_key, same_reader
from napari_covseg.review.readers import ReadersAgreement, Reading, agreement_of_readers, reading_of
from napari_covseg.review.session import ReviewSession
from napari_covseg.review.session_facts import ONLY_LOOKED_AT
from napari_covseg.volume import Volume

if TYPE_CHECKING:
    from napari_covseg.review.turn import Turn
    from napari_covseg.review.worklist import Worklist

OWN_FOLDER = "sessions"
"""Where sessions live in the reader's folder."""


class Shelf:
    """Opens each session once, and closes it when nobody needs it.

    Parameters
    ----------
    folder
        Where sessions live.
    complain
        Is told in a sentence what the worklist refuses, and what became of files that were not in their place.
    """

    def __init__(self, folder: Path, complain: Callable[[str], None]) -> None:
        self.folder = folder
        self.worklist: Worklist | None = None
        self._complain = complain
        self._open: dict[tuple[Path, str, str], ReviewSession] = {}
        self._turns: dict[ReviewSession, Turn] = {}

    def take(self, scan: Volume, reader: str, found_at: FoundAt, *, beside: bool = False) -> ReviewSession:
        """Return the session of a scan on its own grid: open already, as it was left, or new.

        Parameters
        ----------
        scan, reader, found_at
            What is read, by whom, and where it was found.
        beside
            Begin the reader's own session beside that of another reader.

        Raises
        ------
        ValueError
            If it cannot be read, or there is nobody beside whom to read.
        """
        place = self._place_of(scan, reader, found_at, beside=beside)
        key = (place.folder, scan.sha256, name_key(reader))  # nobody goes on in the name of who read here before
        if key in self._open and self._open[key].is_read_only:
            self.let_go(self._open[key])  # what stood in the way may be gone by now, and another reader has gone on
        if key not in self._open:
            self._open[key] = session_at(place, scan, reader, found_at)
        self._follow(self._open[key], found_at.path)
        return self._open[key]

    def let_go(self, session: ReviewSession) -> None:
        """Close a session; where its files were no longer in their place, what became of them is told."""
        if turn := self._turns.pop(session, None):
            turn.close()
        self._open = {key: each for key, each in self._open.items() if each is not session}
        if told := session.close():
            self._complain(told)

    def list_on(self, worklist: Worklist) -> None:
        """Let a worklist follow what is opened from now on, in place of the one before."""
        self.close_list()
        self.worklist = worklist
        for session in self._open.values():
            self._follow(session, session.scan_path)

    def close_list(self) -> None:
        """Let go of the worklist."""
        for turn in self._turns.values():
            turn.close()
        self._turns.clear()
        if self.worklist is not None:
            self.worklist.close()
            self.worklist = None

    def close(self) -> None:
        """Close everything."""
        for session in list(self._open.values()):
            self.let_go(session)
        self.close_list()

    def _place_of(self, scan: Volume, reader: str, found_at: FoundAt, *, beside: bool) -> Place:
        """Return where a reader's session is: not to be written in where another has it on the worklist."""
        holder = self._holder(found_at.path, reader)
        if beside and (not holder or folders_of(self.folder, scan, found_at.path)):
            return Place(folder_for_another_reader(self.folder, scan, reader, found_at.path))
        place = place_of(self.folder, scan, reader, found_at)
        if not holder or beside or place.read_only or is_session(place.folder):
            return place
        return Place(place.folder, read_only=f"{holder} has this scan in review. {OWN_BESIDE}", of=holder)

    def _holder(self, path: Path, reader: str) -> str:
        """Return which other reader has a scan in review on the worklist; empty for nobody."""
        if self.worklist is None:
            return ""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            entry = self.worklist.entry(path)
        except SQLAlchemyError:  # whoever follows the session tells it
            return ""
        is_held = entry is not None and entry.state == "in review" and not same_reader(entry.reader, reader)
        return entry.reader if entry and is_held else ""

    def _follow(self, session: ReviewSession, path: Path) -> None:
        if self.worklist is not None and session not in self._turns:
            from napari_covseg.review.turn import Turn

            self._turns[session] = Turn(self.worklist, session, path, self._complain)


def other_readings(session: ReviewSession) -> dict[Path, str]:
    """Return the folders of other readers' sessions of the same scan, and who began each."""
    beside = (folder for folder in folders_beside(session.folder) if folder != session.folder)
    readers = {folder: str(facts_in(folder).get("reader") or "") for folder in beside}
    return {folder: reader for folder, reader in readers.items() if not same_reader(reader, session.begun_by)}


def listed_sessions(sessions: Path, worklist: Worklist) -> tuple[Path, ...]:
    """Return the folders of the sessions of all scans on a worklist that were not rejected.

    Of a scan with several it is the one of the reader who has the scan or signed it, where there is one.
    """
    of_scan: dict[Path, dict[Path, str]] = {}
    for folder in sorted(sessions.iterdir()) if sessions.is_dir() else ():
        if is_session(folder):
            facts = facts_in(folder)
            readers = of_scan.setdefault(Path(facts.get("scan_path") or ""), {})
            readers[folder] = str(facts.get("reader") or "")
    chosen: list[Path] = []
    for entry in worklist.entries():
        readers = of_scan.get(entry.path.resolve(), {}) if entry.state != "rejected" else {}
        own = [folder for folder, reader in readers.items() if same_reader(reader, entry.reader)]
        chosen += own or readers
    return tuple(chosen)


def agreement_with(mine: Reading, folder: Path) -> Job[ReadersAgreement]:
    """Compare a reading with another session of the same scan, on the slices reviewed in both.

    Raises
    ------
    ValueError
        If the sessions are of two scans, or no slice was reviewed in both.
    """
    yield Progress(0, 2, f"opening {folder.name}")
    other = ReviewSession.resume(folder, mine.reader, read_only=ONLY_LOOKED_AT)
    try:
        yield Progress(1, 2, f"comparing with {folder.name}")
        return agreement_of_readers(mine, reading_of(other))
    finally:
        other.close()
