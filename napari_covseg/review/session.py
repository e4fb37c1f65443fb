"""A review session: what the networks proposed, what the reader made of it, and how to get back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from psygnal import Signal

from napari_covseg.review.correction import Correction, Labels, difference
from napari_covseg.review.journal import FILE_NAME, Event, Journal
from napari_covseg.review.proposal import NETWORK_TOOL
from napari_covseg.volume import LESIONS, Geometry, LabelMap, Provenance, Volume

SIGNED = "This session is signed; nothing in it changes any more."


@dataclass(frozen=True, slots=True)
class Mark:
    """Who reviewed a slice, and when; a marked slice is truth that may be learned."""

    reader: str
    time_utc: datetime


class ReviewSession:
    """The state of one review, in reading order; every change is in the journal before it is made.

    Parameters
    ----------
    journal
        Where it lives; what it holds already is replayed. It must know its scan: see `begin`.
    reader
        Who is reading.

    Raises
    ------
    ValueError
        If the journal knows no scan, or what it holds does not fit together.
    """

    changed = Signal(Correction)
    states_changed = Signal()
    saved = Signal(object)

    def __init__(self, journal: Journal, reader: str) -> None:
        self.journal, self.reader = journal, reader
        self.scan_sha256, self.scan_name, self.home_geometry = _scan_of(journal)
        self.geometry = self.home_geometry.reading()
        self._values: Labels = np.zeros(self.geometry.shape, dtype=np.uint8)
        self._done: list[Correction] = []
        self._undone: list[Correction] = []
        self._marks: dict[int, Mark] = {}
        self.signature: Mark | None = None
        self.saved_at: datetime | None = None
        for event in journal.events():
            self._replay(event)

    @classmethod
    def begin(cls, folder: Path, scan: Volume, reader: str, scan_path: Path | None = None) -> ReviewSession:
        """Return the session of a scan: a new one, or the one that is in the folder already.

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

        Raises
        ------
        ValueError
            If the folder holds the session of another scan, or is open in another window.
        """
        journal = Journal(folder)
        sha256 = scan.sha256
        if journal.about.get("scan_sha256") not in (None, sha256):
            journal.close()
            raise ValueError(f"The session {folder.name} belongs to another scan.")
        grid = {"shape": scan.geometry.shape, "affine": scan.geometry.affine.tolist()}
        for key, value in (("scan_sha256", sha256), ("scan_name", scan.name), ("grid", grid)):
            journal.about.setdefault(key, value)
        if scan_path is not None:
            journal.about["scan_path"] = str(scan_path.resolve())
        return cls(journal, reader)

    @classmethod
    def resume(cls, folder: Path, reader: str) -> ReviewSession:
        """Return the session that is in a folder, without its scan.

        Raises
        ------
        ValueError
            If there is none, or it is open in another window.
        """
        if not (folder / FILE_NAME).exists():
            raise ValueError(f"{folder} is not a review session; choose a folder that holds {FILE_NAME}.")
        return cls(Journal(folder), reader)

    @property
    def case(self) -> str:
        """The scan's name as a case: without the ``_ct`` that marks the scan among a case's files."""
        return self.scan_name.removesuffix("_ct")

    @property
    def scan_path(self) -> Path:
        """Where the scan was when it was opened last."""
        return Path(self.journal.about.get("scan_path") or "")

    @property
    def folder(self) -> Path:
        """Where the session lives."""
        return self.journal.folder

    @property
    def labels(self) -> LabelMap:
        """The label map as it stands, in reading order; its values are a read-only view."""
        view = self._values.view()
        view.flags.writeable = False
        return LabelMap(view, self.geometry, LESIONS, Provenance(source="review", reader=self.reader))

    @property
    def marks(self) -> dict[int, Mark]:
        """Reviewed slices, by index from the apex."""
        return dict(self._marks)

    @property
    def reviewed(self) -> tuple[int, ...]:
        """Indices of the reviewed slices, in order."""
        return tuple(sorted(self._marks))

    @property
    def touched(self) -> frozenset[int]:
        """Slices the reader corrected by hand since a network last wrote on them."""
        touched: set[int] = set()
        for correction in self._done:
            if correction.tool == NETWORK_TOOL:
                touched.difference_update(correction.slices)
            else:
                touched.update(correction.slices)
        return frozenset(touched)

    @property
    def corrections(self) -> Iterator[Correction]:
        """What was made and not undone, the newest first, as far back as undo reaches."""
        return reversed(self._done)

    @property
    def undo_title(self) -> str:
        """What undo would undo; empty if there is nothing."""
        return self._done[-1].title if self._done else ""

    @property
    def redo_title(self) -> str:
        """What redo would bring back; empty if there is nothing."""
        return self._undone[-1].title if self._undone else ""

    def absorb(self, values: Labels, tool: str, title: str) -> Correction | None:
        """Compare an edited copy of the label map with the session and take in what differs.

        Returns
        -------
        Correction or None
            None where nothing differs.

        Raises
        ------
        ValueError
            If the session is signed.
        OSError
            If the journal could not be written; the session is then as before.
        """
        return self.correct(difference(self._values, values, tool, title))

    def propose(self, index: int, values: Labels, title: str, group: str) -> Correction | None:
        """Take in a network's labels (H, W) for one slice; the slices of one run share a group."""
        before, after = self._values[index : index + 1], values[None]
        return self.correct(difference(before, after, NETWORK_TOOL, title, group=group, first_slice=index))

    def correct(self, correction: Correction | None) -> Correction | None:
        """Make a correction: into the journal first, then into the label map."""
        if correction is None:
            return None
        self._refuse_if_signed()
        if not np.array_equal(self._values[correction.box], correction.before):
            raise ValueError("The label map has changed since this correction was made; it was left as it is.")
        detail = {
            "start": correction.start,
            "shape": correction.before.shape,
            "tool": correction.tool,
            "title": correction.title,
            "group": correction.group,
            "voxels": correction.voxels_changed,
        }
        self._record("correction", detail, correction.packed())
        self._done.append(correction)
        self._undone.clear()
        self._write(correction)
        return correction

    def undo(self) -> bool:
        """Take back the last correction and those of its group; return whether there was one."""
        return self._step_back("undo")

    def redo(self) -> bool:
        """Bring back what was undone last; return whether there was anything."""
        return self._step_back("redo")

    def mark_reviewed(self, index: int) -> None:
        """Declare a slice's labels true.

        Raises
        ------
        ValueError
            If there is no such slice, or the session is signed.
        """
        self._refuse_if_signed()
        if not 0 <= index < self.geometry.shape[0]:
            raise ValueError(f"There is no slice {index + 1}; the scan has {self.geometry.shape[0]}.")
        event = self._record("mark", {"slice": index})
        self._marks[index] = Mark(event.reader, event.time_utc)
        self.states_changed.emit()

    def unmark(self, index: int) -> None:
        """Take a slice's mark back, if it has one."""
        self._refuse_if_signed()
        if index in self._marks:
            self._record("unmark", {"slice": index})
            del self._marks[index]
            self.states_changed.emit()

    def sign(self) -> None:
        """Close the session: from here on nothing changes."""
        self._refuse_if_signed()
        event = self._record("sign", {"reviewed": self.reviewed})
        self.signature = Mark(event.reader, event.time_utc)
        self.states_changed.emit()

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()

    def _refuse_if_signed(self) -> None:
        if self.signature is not None:
            raise ValueError(SIGNED)

    def _record(self, kind: Any, detail: dict[str, Any], payload: bytes | None = None) -> Event:
        event = self.journal.append(kind, self.reader, detail, payload)
        self.saved_at = event.time_utc
        self.saved.emit(event.time_utc)
        return event

    def _write(self, correction: Correction) -> None:
        correction.applied_to(self._values)
        unmarked = [index for index in self._changed_slices(correction) if self._marks.pop(index, None)]
        self.changed.emit(correction)
        if unmarked:
            self.states_changed.emit()

    @staticmethod
    def _changed_slices(correction: Correction) -> list[int]:
        changed = (correction.before != correction.after).any(axis=(1, 2))
        return [index for index, differs in zip(correction.slices, changed, strict=True) if differs]

    def _step_back(self, kind: str) -> bool:
        self._refuse_if_signed()
        if not (self._done if kind == "undo" else self._undone):
            return False
        self._record(kind, {})
        self._move(kind)
        return True

    def _move(self, kind: str) -> None:
        """Undo or redo one correction, and those beside it that share its group."""
        source, target = (self._done, self._undone) if kind == "undo" else (self._undone, self._done)
        group = source[-1].group
        while source:
            correction = source.pop()
            target.append(correction)
            self._write(correction.inverse() if kind == "undo" else correction)
            if not group or not source or source[-1].group != group:
                return

    def _replay(self, event: Event) -> None:
        self.saved_at = event.time_utc
        if event.kind == "correction":
            detail = event.detail
            correction = Correction.unpacked(
                event.payload or b"",
                detail["start"],
                detail["shape"],
                detail["tool"],
                detail["title"],
                detail["group"],
            )
            self._done.append(correction)
            self._undone.clear()
            self._write(correction)
        elif event.kind in ("undo", "redo"):
            self._move(event.kind)
        elif event.kind == "mark":
            self._marks[event.detail["slice"]] = Mark(event.reader, event.time_utc)
        elif event.kind == "unmark":
            self._marks.pop(event.detail["slice"], None)
        elif event.kind == "sign":
            self.signature = Mark(event.reader, event.time_utc)


def _scan_of(journal: Journal) -> tuple[str, str, Geometry]:
    about = journal.about
    try:
        grid = about["grid"]
        return (
            about["scan_sha256"],
            about["scan_name"],
            Geometry(tuple(grid["shape"]), np.array(grid["affine"])),
        )
    except KeyError:
        raise ValueError(f"The session {journal.folder.name} does not say which scan it belongs to.") from None
