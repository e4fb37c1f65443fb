"""The log as people read it: a line for every row, and whether all of it is as it was written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_covseg.io.sentences import count
from napari_covseg.jobs import Job, Progress
from napari_covseg.review.audit import Event
from napari_covseg.review.session import ReviewSession
from napari_covseg.review.session_facts import ONLY_LOOKED_AT
from napari_covseg.review.words import slice_numbers

SOUND = "All {} of this log are as they were written: each is sealed, and none is missing."
TRAINED = ("network", "checkpoint", "checkpoint_sha256")
EMPTY = "Nothing was changed in this session yet."


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the log.

    Parameters
    ----------
    number, time_utc, reader, kind
        Which row it is, when it was written, who did it, and what kind of row it is.
    what
        What was done, in words.
    slices
        On which slices, by index from the apex.
    voxels
        How many were changed; None where a row changes none.
    network, checkpoint, checkpoint_sha256
        What drew it, where a network did; empty otherwise.
    sealed_with
        The row's hash, in hexadecimal: it stands for all rows up to here.
    """

    number: int
    time_utc: datetime
    reader: str
    kind: str
    what: str
    slices: tuple[int, ...]
    voxels: int | None
    network: str
    checkpoint: str
    checkpoint_sha256: str
    sealed_with: str

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it; slices count from 1 at the apex."""
        return {
            "number": self.number,
            "time_utc": self.time_utc.isoformat(),
            "reader": self.reader,
            "kind": self.kind,
            "what": self.what,
            "slices": [index + 1 for index in self.slices],
            "voxels": self.voxels,
            "network": self.network,
            "checkpoint": self.checkpoint,
            "checkpoint_sha256": self.checkpoint_sha256,
            "sealed_with": self.sealed_with,
        }


@dataclass(frozen=True, slots=True)
class Log:
    """The log of a session.

    Parameters
    ----------
    session
        Its folder.
    scan, reader
        The scan it is of, and who began it.
    lines
        Every row, the oldest first.
    doubts
        A sentence for everything in which the session was not found as it was written; none where all verified.
    """

    session: Path
    scan: str
    reader: str
    lines: tuple[Line, ...]
    doubts: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Whether it can be relied on, in words."""
        if self.doubts:
            return " ".join(self.doubts)
        return SOUND.format(count(len(self.lines), "entry", "entries")) if self.lines else EMPTY


def log_in(folder: Path) -> Job[Log]:
    """Read the log of the session in a folder, and verify it; a window may have it open, and nothing is written.

    Raises
    ------
    ValueError
        If there is no session, or nothing of it can be read.
    """
    yield Progress(0, 1, f"reading the log of {folder.name}")
    session = ReviewSession.resume(folder, "", read_only=ONLY_LOOKED_AT)
    try:
        doubts = tuple(note for note in session.notes if note != ONLY_LOOKED_AT) or _healed(session.trail)
        log = Log(folder, session.scan_name, session.begun_by, tuple(map(line_of, session.trail)), doubts)
    finally:
        session.close()
    yield Progress(1, 1, "verified")
    return log


def line_of(event: Event) -> Line:
    """Return what there is to read of a row."""
    network, checkpoint, sha256 = (str(event.detail.get(each, "")) for each in TRAINED)
    return Line(
        event.seq,
        event.time_utc,
        event.reader,
        event.kind,
        _what(event),
        _slices(event.detail),
        event.detail.get("voxels"),
        network,
        checkpoint,
        sha256,
        event.hash.hex(),
    )


def _healed(trail: Iterable[Event]) -> tuple[str, ...]:
    """Return a sentence for every time the log was put together again: its rows verify, but are not all there were."""
    found = (event for event in trail if event.kind == "recovery")
    return tuple(f"{_recovered(e.detail)} on {e.time_utc.astimezone():%d %b %Y %H:%M} (entry {e.seq})." for e in found)


def _what(event: Event) -> str:
    detail = event.detail
    title, version, why = str(detail.get("title", "")), detail.get("version", 1), str(detail.get("reason", ""))
    said = {
        "correction": f"{title[:1].upper()}{title[1:]}",
        "undo": f"Undone: {title}",
        "redo": f"Brought back: {title}",
        "mark": "Marked reviewed",
        "unmark": "Mark taken back",
        "restore": "Marks given back",
        "sign": f"Signed, version {version}",
        "reopen": f"Opened again, version {version}" + (f": {why}" if why else ""),
        "recovery": _recovered(detail),
        "upgrade": "Log of an earlier CovSeg sealed",
    }
    return said.get(event.kind, event.kind)


def _recovered(detail: dict[str, Any]) -> str:
    """Return ``Put together again after damage: up to 2 changes lost``, or what else was found."""
    if detail.get("replaced"):
        return "The log was found replaced"
    if detail.get("headless"):
        return "The end of the log was found unvouched for"
    lost = detail.get("changes_lost", 0)
    return "Put together again after damage" + (f": up to {count(lost, 'change')} lost" if lost else "")


def _slices(detail: dict[str, Any]) -> tuple[int, ...]:
    if "slice" in detail:
        return (detail["slice"],)
    if "start" in detail and "slices" not in detail:  # a row of version 1
        return tuple(range(detail["start"][0], detail["start"][0] + detail["shape"][0]))
    return tuple(detail.get("slices") or detail.get("reviewed") or ())


def shown(line: Line) -> tuple[str, str, str, str, str, str]:
    """Return what is shown of a line: its time here, its reader, what, slices, voxels, and what drew it."""
    when = f"{line.time_utc.astimezone():%d %b %Y %H:%M:%S}"
    voxels = "" if line.voxels is None else f"{line.voxels:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return when, line.reader, line.what, slice_numbers(line.slices), voxels, line.checkpoint or line.network
