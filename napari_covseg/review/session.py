"""A review session: what the networks proposed, what the reader made of it, and how to get back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from psygnal import Signal

from napari_covseg.io import stated
from napari_covseg.io.stated import NOTHING, Stated
from napari_covseg.review.anchor import DisplacedError
from napari_covseg.review.audit import Event, Kind
from napari_covseg.review.condition import belied, headless, is_replaced, sentences
from napari_covseg.review.correction import Correction, Labels, difference
from napari_covseg.review.displaced import kept
from napari_covseg.review.history import NETWORK_TOOL, Step, step_of, told
from napari_covseg.review.journal import Journal
from napari_covseg.review.keeping import Keeper
from napari_covseg.review.opening import is_session, journal_of, scan_of
from napari_covseg.review.reader_names import same_reader
from napari_covseg.review.recovery import FILE_NAME
from napari_covseg.review.replay import Loss, standing_of
from napari_covseg.review.session_facts import SessionFacts
from napari_covseg.review.signing import Mark, fingerprint, marks_told
from napari_covseg.volume import Provenance, Volume

NO_ORIGIN = Provenance()


class ReviewSession(SessionFacts):
    """The state of one review, in reading order; every change is in the journal before it is made.

    Parameters
    ----------
    journal
        Where it lives; what it holds already is replayed. It must know its scan: see `begin`.
    reader
        Who is reading; told as she typed her name when she began it.

    Raises
    ------
    ValueError
        If the journal knows no scan.
    """

    changed = Signal(Correction)
    states_changed = Signal()
    saved = Signal(object)

    def __init__(self, journal: Journal, reader: str) -> None:
        self.journal = journal
        self.reader = self.begun_by if same_reader(self.begun_by, reader) else reader
        self.scan_sha256, self.scan_name, self.home_geometry = scan_of(journal)
        self.geometry = self.home_geometry.reading()
        self._standing, base, loss = standing_of(journal, self.geometry.shape)
        self._keeper = Keeper(journal, self._standing, base)
        self._seen_s: dict[int, float] = {}
        self.unsaved = ""
        self.saved_at = journal.trail[-1].time_utc if journal.trail else None
        self.notes = sentences(journal, self._standing, loss)
        was_replaced, was_headless = is_replaced(journal), headless(journal)
        self.was_damaged = (
            loss is not None or was_replaced or bool(was_headless or belied(journal) or journal.condition.foreign)
        )
        if loss is not None or was_replaced or was_headless:
            self._keep_in_the_log(loss, was_replaced=was_replaced)
        self._keeper.when_due()

    @classmethod
    def begin(
        cls, folder: Path, scan: Volume, reader: str, scan_path: Path | None = None, *, read_only: str = ""
    ) -> ReviewSession:
        """Return the session of a scan: a new one, or the one that is in the folder already.

        Where the folder cannot be written, or another window has the session, it is read-only; `refusal` says why.

        Parameters
        ----------
        folder
            Where it lives.
        scan
            The scan on its own grid, as read; exports go back to this grid.
        reader
            Who is reading.
        scan_path
            Where the scan is, for later.
        read_only
            Why nothing may be changed in it, as in `resume`; empty to go on with it.

        Raises
        ------
        ValueError
            If the folder holds the session of another scan.
        """
        return cls(journal_of(folder, scan, reader, scan_path, read_only), reader)

    @classmethod
    def resume(cls, folder: Path, reader: str, *, read_only: str = "") -> ReviewSession:
        """Return the session that is in a folder, without its scan.

        Parameters
        ----------
        folder
            Where it lives.
        reader
            Who is reading.
        read_only
            Why nothing may be changed in it; then another window may have it open, and nothing is written. Empty to
            go on with it.

        Raises
        ------
        ValueError
            If there is none, or nothing of it can be read.
        """
        if not is_session(folder):
            raise ValueError(f"{folder} is not a review session; choose a folder that holds {FILE_NAME}.")
        journal = Journal(folder, reader, read_only)
        try:
            return cls(journal, reader)
        except ValueError:
            journal.close()
            raise

    def absorb(self, values: Labels, tool: str, title: str) -> Correction | None:
        """Compare an edited copy of the label map with the session and take in what differs.

        Returns
        -------
        Correction or None
            None where nothing differs.

        Raises
        ------
        ValueError
            If the session is signed or read-only.
        OSError
            If the journal could not be written; the session is then as before.
        """
        return self.correct(difference(self._standing.values, values, tool, title))

    def propose(
        self, index: int, values: Labels, title: str, group: str, provenance: Provenance = NO_ORIGIN
    ) -> Correction | None:
        """Take in a network's labels (H, W) for one slice; the slices of one run share a group.

        The log tells the network and the checkpoint that `provenance` names.
        """
        before, after = self._standing.values[index : index + 1], values[None]
        made = difference(before, after, NETWORK_TOOL, title, group=group, first_slice=index)
        return self.correct(None if made is None else replace(made, provenance=provenance))

    def propose_rest(
        self, values: Labels, slices: Iterable[int], title: str, provenance: Provenance = NO_ORIGIN
    ) -> Correction | None:
        """Take in a network's labels for many slices as one correction; never on those that are the reader's own.

        Parameters
        ----------
        values
            (D, H, W) uint8, what the network drew.
        slices
            Indices of the slices to take; those reviewed or corrected by hand are left as they are.
        title, provenance
            As in `propose`.
        """
        kept = self.touched | self._standing.marks.keys()
        after = self._standing.values.copy()
        for index in slices:
            if index not in kept:
                after[index] = values[index]
        made = difference(self._standing.values, after, NETWORK_TOOL, title)
        return self.correct(None if made is None else replace(made, provenance=provenance))

    def correct(self, correction: Correction | None) -> Correction | None:
        """Make a correction: into the journal first, then into the label map."""
        if correction is None:
            return None
        self._refuse()
        if not np.array_equal(self._standing.values[correction.box], correction.before):
            raise ValueError("The label map has changed since this correction was made; it was left as it is.")
        step = step_of(self._record("correction", told(correction), correction.packed()))
        self._standing.history.made(step)
        self._write("correction", correction, step)
        self._standing.drew(step)
        self._keeper.when_due(mid_stroke=True)
        return correction

    def undo(self) -> bool:
        """Take back the last correction and those of its group; return whether there was one.

        The marks that it took are given back as they were, by the same row; `redo` takes them again.
        """
        return self._step("undo")

    def redo(self) -> bool:
        """Bring back what was undone last; return whether there was anything."""
        return self._step("redo")

    def saw(self, index: int, seconds: float) -> None:
        """Count how long a slice was on screen; a mark keeps it. Nothing is written."""
        self._seen_s[index] = self._seen_s.get(index, 0.0) + seconds

    def mark_reviewed(self, index: int) -> None:
        """Declare a slice's labels true.

        Raises
        ------
        ValueError
            If there is no such slice, or the session is signed or read-only.
        """
        self._refuse()
        if not 0 <= index < self.geometry.shape[0]:
            raise ValueError(f"There is no slice {index + 1}; the scan has {self.geometry.shape[0]}.")
        vouched_for = fingerprint(self._standing.values[index])
        self._state("mark", {"slice": index, "seen_s": self._seen_on(index), "labels_sha256": vouched_for})
        self._keeper.when_due()

    def unmark(self, index: int) -> None:
        """Take a slice's mark back, if it has one."""
        self._refuse()
        if index in self._standing.marks:
            self._state("unmark", {"slice": index})

    def sign(self) -> None:
        """Close the session: from here on nothing changes, unless it is opened again.

        The signature stands for the label map by its fingerprint, and for every row of the log by the last one's hash.
        """
        self._refuse()
        detail = {
            "reviewed": self.reviewed,
            "version": self.version,
            "head": self.journal.head,
            "labels_sha256": fingerprint(self._standing.values),
            "scan_sha256": self.scan_sha256,
        }
        self._state("sign", detail)
        self._keeper.take()

    def reopen(self, reason: str = "") -> None:
        """Open a signed session again, as a new version; the signature stays in the log.

        Raises
        ------
        ValueError
            If it is not signed, read-only, or another reader's.
        """
        if self.is_read_only:
            raise ValueError(self.refusal)
        if self.signature is None:
            raise ValueError("This session is not signed; go on with it as it is.")
        signed_by = self.signature.reader
        if not any(same_reader(self.reader, each) for each in (signed_by, self.begun_by)):
            raise ValueError(f"{signed_by} signed this session and alone opens it again; begin your own beside it.")
        self._state("reopen", {"version": self.version + 1, "reason": reason})

    def keep_stated(self, about_scan: Stated) -> None:
        """Remember what was stated about the scan; what cannot be written now is asked again next time."""
        if about_scan != NOTHING:
            with suppress(OSError):
                if self.journal.about.get("stated") != stated.told(about_scan):
                    self.journal.remember({"stated": stated.told(about_scan)})
                stated.keep(about_scan, self.folder)

    def close(self) -> str:
        """Let go of the journal; a snapshot makes the next opening quick.

        Returns
        -------
        str
            What the reader is to be told where the files were no longer in their place; empty where they were.
        """
        told = kept(self.journal, self._keeper, at_close=True)
        self._keep_stated_again()
        if self._keeper.rows_since:
            self._keeper.take()
        self.journal.close()
        return told

    def _refuse(self) -> None:
        if self.refusal:
            raise ValueError(self.refusal)

    def _record(self, kind: Kind, detail: dict[str, Any], payload: bytes | None = None) -> Event:
        try:
            event = self.journal.append(kind, self.reader, detail, payload)
        except OSError as error:
            self.unsaved = kept(self.journal, self._keeper) if isinstance(error, DisplacedError) else str(error)
            self._keep_stated_again()
            raise OSError(self.unsaved) from error
        self.unsaved = ""
        self.saved_at = event.time_utc
        self.saved.emit(event.time_utc)
        return event

    def _keep_stated_again(self) -> None:
        """Write again what was stated, where the session is in its place and the file is not."""
        if not self.is_read_only and self.journal.where == "here" and not (self.folder / stated.KEPT_IN).exists():
            self.keep_stated(self.stated)

    def _state(self, kind: Kind, detail: dict[str, Any]) -> None:
        self._standing.take(self._record(kind, detail), self.journal.payload)
        self.states_changed.emit()

    def _write(self, kind: Kind, correction: Correction, step: Step) -> None:
        self._standing.write(correction, step.slices)
        had_marks = self._standing.take_marks_back(kind, step)
        self.changed.emit(correction)
        if had_marks:
            self.states_changed.emit()

    def _step(self, kind: Kind) -> bool:
        self._refuse()
        steps = self._standing.history.next(kind)
        if not steps:
            return False
        corrections = [step.correction(self.journal.payload(step.seq) or b"") for step in steps]
        owed = self._standing.owed(kind, steps)
        self._record(kind, _told_of(steps, owed))
        self._standing.history.move(kind, steps)
        for step, correction in zip(steps, corrections, strict=True):
            self._write(kind, correction.inverse() if kind == "undo" else correction, step)
        self._standing.marks |= owed
        if owed:
            self.states_changed.emit()
        return True

    def _seen_on(self, index: int) -> float | None:
        return round(self._seen_s.get(index, 0.0), 2) if self._seen_s else None

    def _keep_in_the_log(self, loss: Loss | None, *, was_replaced: bool) -> None:
        """Write what was lost, replaced or missing into the log, so that it is told from now on."""
        damage = self.journal.condition.damage
        detail = {
            "missing": damage.missing if damage else (),
            "bare": damage.bare if damage else (),
            "changed": damage.changed if damage else (),
            "aside": damage.aside if damage else "",
            "changes_lost": loss.changes if loss else 0,
            "barrier": loss is not None and loss.is_history_gone,
            "unmarked": loss.unmarked if loss else (),
            "replaced": was_replaced,
            "headless": headless(self.journal),
            "standing": self._standing.told(),
        }
        with suppress(OSError, ValueError):  # what cannot be written now is found again at the next opening
            self._record("recovery", detail)
            self._standing.dirty.update(range(len(self._standing.values)))
            self._keeper.take()


def _told_of(steps: Sequence[Step], owed: dict[int, Mark]) -> dict[str, Any]:
    """Return what the log tells of steps that go back or forth, and of the marks that they give back."""
    told_of_marks = {"marks": marks_told(owed)} if owed else {}
    return told_of_marks | {
        "rows": [step.seq for step in steps],
        "tool": steps[0].tool,
        "title": steps[0].title,
        "slices": sorted({index for step in steps for index in step.slices}),
        "voxels": sum(step.voxels for step in steps),
    }
