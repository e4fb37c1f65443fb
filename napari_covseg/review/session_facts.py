"""What a review session can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from napari_covseg.io import stated
from napari_covseg.io.stated import Stated
from napari_covseg.review.audit import Event
from napari_covseg.review.before_after import proposed
from napari_covseg.review.correction import Correction, Labels
from napari_covseg.review.history import NETWORK_TOOL
from napari_covseg.review.journal import Journal
from napari_covseg.review.reader_names import name_key, same_reader
from napari_covseg.review.signing import SIGNED, Mark, Signature
from napari_covseg.review.standing import Standing
from napari_covseg.volume import LESIONS, Geometry, LabelMap, Provenance

ONLY_LOOKED_AT = "This session is only looked at here; nothing in it is changed."
LONGEST_PAUSE_S = 120
"""A longer pause between two rows of the log is no time of reading."""


class SessionFacts:
    """Everything about a session that is told without changing it.

    Attributes
    ----------
    scan_sha256, scan_name, home_geometry
        The scan it belongs to, and the grid of its file.
    geometry
        The same grid in reading order.
    saved_at
        When the last row was written; None before the first.
    unsaved
        Why the last change could not be saved and was not made; empty from the next that is saved.
    notes
        How the session was found, where the reader should know: a sentence each.
    was_damaged
        Whether its journal had to be put together again, or is not the one that was written or signed here.
    """

    journal: Journal
    reader: str
    scan_sha256: str
    scan_name: str
    home_geometry: Geometry
    geometry: Geometry
    saved_at: datetime | None
    unsaved: str
    notes: tuple[str, ...]
    was_damaged: bool
    _standing: Standing

    @property
    def case(self) -> str:
        """The scan's name as a case: without the ``_ct`` that marks the scan among a case's files, and never a path."""
        return Path(self.scan_name).name.removesuffix("_ct")

    @property
    def scan_path(self) -> Path:
        """Where the scan was when it was opened last."""
        return Path(self.journal.about.get("scan_path") or "")

    @property
    def stated(self) -> Stated:
        """What was stated about the scan when it was opened; the file beside the journal may be gone."""
        facts = self.journal.about.get("stated")
        return stated.read(facts) if facts else stated.kept_in(self.folder)

    @property
    def folder(self) -> Path:
        """Where the session lives."""
        return self.journal.folder

    @property
    def begun_by(self) -> str:
        """The reader whose session it is; empty where an earlier version did not say."""
        return str(self.journal.about.get("reader") or "")

    @property
    def is_of_another_reader(self) -> bool:
        """Whether somebody else than who is reading now began it."""
        return bool(name_key(self.begun_by)) and not same_reader(self.begun_by, self.reader)

    @property
    def labels(self) -> LabelMap:
        """The label map as it stands, in reading order; its values are a read-only view."""
        view = self._standing.values.view()
        view.flags.writeable = False
        return LabelMap(view, self.geometry, LESIONS, Provenance(source="review", reader=self.reader))

    @property
    def marks(self) -> dict[int, Mark]:
        """Reviewed slices, by index from the apex."""
        return dict(self._standing.marks)

    @property
    def reviewed(self) -> tuple[int, ...]:
        """Indices of the reviewed slices, in order."""
        return tuple(sorted(self._standing.marks))

    @property
    def touched(self) -> frozenset[int]:
        """Slices the reader corrected by hand since a network last wrote on them."""
        return self._standing.history.touched

    def touched_since(self, seq: int) -> frozenset[int]:
        """Return the slices the reader corrected by hand after this row of the journal, less what was undone."""
        return self._standing.history.touched_since(seq)

    @property
    def undo_group(self) -> str:
        """The group of what undo would undo: of all slices of one run of a network; empty where it has none."""
        steps = self._standing.history.next("undo")
        return steps[0].group if steps else ""

    @property
    def undo_title(self) -> str:
        """What undo would undo; empty if there is nothing, or nothing that can still be undone."""
        return self._standing.history.title("undo")

    @property
    def undo_end(self) -> str:
        """Why nothing more can be undone although something was done; empty otherwise."""
        return self._standing.history.end

    @property
    def redo_title(self) -> str:
        """What redo would bring back; empty if there is nothing."""
        return self._standing.history.title("redo")

    @property
    def corrections(self) -> Iterator[Correction]:
        """What was made and not undone, the newest first, as far back as undo reaches."""
        for step in reversed(self._standing.history.done):
            packed = self.journal.payload(step.seq)
            if packed is None:
                return
            yield step.correction(packed)

    @property
    def proposal(self) -> Labels | None:
        """What the networks proposed, (D, H, W); None where none proposed anything, or that is no longer known.

        It is known longer than it can be undone; `was_proposed` tells whether there was anything.
        """
        return proposed(self._standing.values, self.corrections, self._standing.proposals())

    @property
    def was_proposed(self) -> bool:
        """Whether a network wrote anything that was not undone."""
        return any(step.tool == NETWORK_TOOL for step in self._standing.history.done)

    @property
    def signature(self) -> Signature | None:
        """Who signed the session as it stands; None while it is open."""
        return self._standing.signatures[-1] if self._standing.is_signed else None

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """Every signature there ever was, the oldest first; reopening takes none away."""
        return tuple(self._standing.signatures)

    @property
    def version(self) -> int:
        """Which version stands: 1 until the session was signed and opened again."""
        return len(self._standing.signatures) + (0 if self._standing.is_signed else 1)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written, whoever asks; `refusal` says why."""
        return bool(self.journal.condition.read_only)

    @property
    def refusal(self) -> str:
        """Why nothing in the session can be changed now; empty if it can."""
        return self.journal.condition.read_only or (SIGNED if self._standing.is_signed else "")

    @property
    def trail(self) -> tuple[Event, ...]:
        """The log: every row, who, when, what, in order."""
        return tuple(self.journal.trail)

    @property
    def minutes(self) -> float:
        """Minutes spent reading: the time between rows of the log, where it was no longer than a pause."""
        times = np.array([event.time_utc.timestamp() for event in self.journal.trail])
        gaps = np.diff(times)
        return float(gaps[(gaps >= 0) & (gaps <= LONGEST_PAUSE_S)].sum()) / 60
