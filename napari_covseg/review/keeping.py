"""When a snapshot is taken, and what the journal may then let go of."""

from __future__ import annotations

import logging
from pathlib import Path

from napari_covseg.review import snapshot
from napari_covseg.review.journal import Journal
from napari_covseg.review.snapshot import Snapshot, packed
from napari_covseg.review.standing import Standing

SNAPSHOT_AFTER = 500
"""Rows after which a snapshot is taken when a slice is done, and when the session opens."""

SNAPSHOT_AT_LAST_AFTER = 4000
"""Rows after which a stroke takes one too: so many are replayed in well under a second."""

log = logging.getLogger(__name__)


class Keeper:
    """Takes the snapshots of one session.

    Parameters
    ----------
    journal
        What they cut short.
    standing
        What they show.
    base
        The snapshot that `standing` was begun from.
    """

    def __init__(self, journal: Journal, standing: Standing, base: Snapshot | None) -> None:
        self._journal, self._standing = journal, standing
        self._planes = list(base.planes) if base else [b""] * len(standing.values)
        self._seq = base.seq if base else -1

    @property
    def rows_since(self) -> int:
        """How many rows are not in the last snapshot."""
        return self._journal.last - max(self._seq, 0)

    def when_due(self, *, mid_stroke: bool = False) -> None:
        """Take a snapshot if there is none, or enough rows were written since."""
        if self._seq < 0 or self.rows_since >= (SNAPSHOT_AT_LAST_AFTER if mid_stroke else SNAPSHOT_AFTER):
            self.take()

    def take(self) -> None:
        """Take a snapshot, and let the journal go of voxels that only older ones would need.

        Where it cannot be written, the journal goes on alone; nothing depends on it.
        """
        journal, standing = self._journal, self._standing
        if journal.condition.read_only or self._seq == journal.last or journal.where != "here":
            return
        try:
            taken = self._taken()
            snapshot.keep(taken, journal.folder, self._seq)
            standing.dirty.clear()
            before, self._seq = self._seq, taken.seq
            self._compact(before)
        except OSError:
            log.warning("The snapshot of %s could not be written.", journal.folder.name, exc_info=True)

    def begin_anew(self) -> None:
        """Take the first snapshot of a journal that was written again: without one it may not tell the whole label map.

        Raises
        ------
        OSError
            If it could not be written.
        """
        self._seq = -1
        self.leave_in(self._journal.folder)
        self._seq = self._journal.last

    def leave_in(self, folder: Path) -> None:
        """Write a snapshot into any folder.

        Raises
        ------
        OSError
            If it could not be written.
        """
        snapshot.keep(self._taken(), folder, self._seq)

    def _taken(self) -> Snapshot:
        journal, standing = self._journal, self._standing
        for index in standing.dirty:
            self._planes[index] = packed(standing.values[index])
        standing.let_go_of_drawn()
        told, planes = standing.told(), tuple(self._planes)
        rows = tuple((e.seq, e.hash.hex()) for e in journal.trail if e.seq in (journal.trail[0].seq, self._seq))
        return Snapshot(journal.last, _head(journal), journal.about, told, planes, standing.drawn, rows)

    def _compact(self, up_to: int) -> None:
        history = self._standing.history
        older = {e.seq for e in self._journal.trail if e.kind == "correction" and "slices" not in e.detail}
        reach = history.within_reach() | older  # a row of version 1 tells by its voxels alone which slices changed
        pruned = {step.seq for step in history.done if step.seq <= up_to} - reach
        if pruned - history.bare:
            self._journal.compact(up_to, reach)
            history.bare |= pruned


def _head(journal: Journal) -> str:
    return journal.head if journal.last else ""
