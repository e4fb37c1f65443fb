"""The session on disk: one SQLite file in which everything stands before it is acknowledged.

Write-ahead log and ``synchronous=FULL``. Rows are only ever added, each sealed with a hash over itself and the row
before; a lock lets one window write.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from napari_covseg.review import audit, begun, holder, recovery, snapshot
from napari_covseg.review.anchor import Anchor, DisplacedError, Where, is_read_back
from napari_covseg.review.audit import Event, Kind
from napari_covseg.review.holder import HeadState, Holder
from napari_covseg.review.recovery import FILE_NAME, LOG_NAME, Damage, Found, Witness
from napari_covseg.review.tables import about_of, connected, copied, insert, remember

HELD = "held"
LOG_BYTES = 5 << 20
"""The write-ahead log is laid out this long at once: writing into a file that need not grow is half as slow."""

LEAST_ROOM_BYTES = 1 << 16
"""With less room than this SQLite opens no journal."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a journal was found.

    Parameters
    ----------
    read_only
        Why nothing can be written; empty if it can.
    damage
        What was wrong with it; None if nothing.
    left_by
        Who had it last and did not close it, as after a crash.
    was_replaced
        Whether its last row is not the one that was written here last.
    contradiction
        What it says about itself otherwise than its log does; empty if nothing.
    headless
        Whether the file that tells its last row is ``missing`` or ``unreadable``, so that nobody knows how many rows
        there were; empty where that is known.
    foreign
        Which snapshots lay beside it that are of another log, and where they were put; empty where none did.
    """

    read_only: str = ""
    damage: Damage | None = None
    left_by: Holder | None = None
    was_replaced: bool = False
    contradiction: str = ""
    headless: Literal["", "missing", "unreadable"] = ""
    foreign: str = ""


class Journal:
    """The journal of one session.

    Parameters
    ----------
    folder
        The session's folder; made if missing.
    reader
        Who writes, for other windows to be told.
    read_only
        Why nothing is to be written; empty to write. Where the folder cannot be written, or another window writes,
        the journal is read-only too, and `condition` says why.

    Raises
    ------
    ValueError
        If it is no journal of ours.
    """

    def __init__(self, folder: Path, reader: str = "", read_only: str = "") -> None:
        self.folder = folder
        self._head_file = holder.HeadFile(folder)
        self._lock: FileLock | None = None
        self._anchor: Anchor | None = None
        was = self._head_file.state
        witness = Witness(self._head_file.read(), tuple(snapshot.kept(folder)))
        found, refused, left_by = self._opened(reader, witness) if not read_only else (None, read_only, None)
        if found is None:
            found = recovery.looked_at(folder, witness)
        self._connection, self.trail = found.connection, list(found.events)
        self.snapshots = list(found.witness.snapshots)
        self.has_witness = bool(witness.head.seq or self.snapshots)
        self._vouched = begun.vouched(self.trail, self.snapshots)
        self._is_vouched_for = False
        self.about = self._facts()
        self._head = self.trail[-1].hash if self.trail else audit.GENESIS
        self._last = max(found.damage.last if found.damage else 0, self.trail[-1].seq if self.trail else 0)
        refused = self._who_holds_it() if refused == HELD else refused
        is_other = self._was_replaced(witness)
        foreign = self._foreign(witness, "" if refused else recovery.name_aside())
        headless = self._headless(was)
        self.condition = Condition(refused, found.damage, left_by, is_other, headless=headless, foreign=foreign)
        self.vouch_for({})
        if was != "whole" and not refused and not self.condition.headless:
            self._head_file.begin(self._last, self.head)

    @property
    def head(self) -> str:
        """The hash of the last row, in hexadecimal."""
        return self._head.hex()

    @property
    def last(self) -> int:
        """The number of the last row."""
        return self._last

    @property
    def where(self) -> Where:
        """Whether its files still lie where they were opened."""
        return self._anchor.where if self._anchor is not None else "here"

    def vouch_for(self, facts: dict[str, Any]) -> None:
        """Take facts for true, whatever it says; where it says otherwise it is read-only from now on."""
        self._vouched |= facts
        told = begun.contradiction(about_of(self._connection), self._vouched)
        refused = self.condition.read_only or told
        self.condition = replace(self.condition, read_only=refused, contradiction=told)
        self.about = self._facts()

    def remember(self, facts: dict[str, Any]) -> None:
        """Keep facts about the session: what scan it belongs to, its grid; None takes one away.

        Raises
        ------
        OSError
            If they could not be written.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            remember(self._connection, facts)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise OSError(f"The session {self.folder.name} cannot be written ({error}).") from error
        self.about = self._facts()

    def append(self, kind: Kind, reader: str, detail: dict[str, Any], payload: bytes | None = None) -> Event:
        """Add a row; when this returns it is on disk.

        Raises
        ------
        ValueError
            If the journal is read-only.
        DisplacedError
            If its files are no longer where they were opened: what is written into them would be on no disk.
        OSError
            If it could not be written.
        """
        if self.condition.read_only:
            raise ValueError(self.condition.read_only)
        if self.where != "here":
            raise DisplacedError(f"The files of the session {self.folder.name} are no longer where they were opened.")
        if not self._is_vouched_for or kind == "sign":
            detail = {**detail, begun.VOUCHED_AS: begun.told(self.about)}
        row = audit.written(self._last + 1, self._head, reader, kind, detail, payload)
        try:
            insert(self._connection, row)
        except sqlite3.Error as error:
            self._roll_back()
            raise OSError(_unsaved(self.folder, error)) from error
        self._last, self._head, self._is_vouched_for = row.seq, row.hash, True
        self._head_file.write(row.seq, row.hash.hex())
        event = audit.read(row)
        self.trail.append(event)
        return event

    def payload(self, seq: int) -> bytes | None:
        """Return the voxels of a row; None where they were compacted away."""
        found = self._connection.execute("SELECT payload FROM event WHERE seq = ?", (seq,)).fetchone()
        return found[0] if found else None

    def compact(self, up_to: int, but: Collection[int]) -> None:
        """Let go of the voxels of corrections that a snapshot holds; the rows stay.

        Parameters
        ----------
        up_to
            The last row whose voxels are not needed to replay the journal.
        but
            Rows that keep theirs, since they can still be undone or redone.

        Raises
        ------
        OSError
            If it could not be written.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "UPDATE event SET payload = NULL WHERE payload IS NOT NULL AND seq <= ? "
                "AND seq NOT IN (SELECT value FROM json_each(?))",
                (up_to, json.dumps(sorted(but))),
            )
            remember(self._connection, {"compacted_to": up_to})
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise OSError(f"The session {self.folder.name} could not be compacted ({error}).") from error
        self.about = self._facts()

    def fold_in(self) -> None:
        """Fold a log that was deleted into the journal, and begin another.

        Raises
        ------
        OSError, sqlite3.Error
            If it could not be written.
        """
        self._put_a_copy_in_place()
        self._open_again()

    def write_again(self) -> None:
        """Write the journal where it was, from files that were deleted and can be read as long as they are open.

        Raises
        ------
        OSError, sqlite3.Error
            If it could not be written.
        """
        if self._lock is not None:
            self._lock.release()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = holder.lock(self.folder)
        if self._lock is None:
            raise OSError("another window has it")
        self._put_a_copy_in_place()
        self._head_file.close()
        self._open_again()

    def _put_a_copy_in_place(self) -> None:
        """Write all rows, those of a deleted log as well, before the only file that holds them is let go of."""
        draft = self.folder / f"{FILE_NAME}.draft"
        draft.unlink(missing_ok=True)
        copied(self._connection, draft)
        draft.replace(self.folder / FILE_NAME)
        self._connection.close()  # before the other is opened: it removes a log of that name

    def copy_to(self, folder: Path) -> None:
        """Write a copy into another folder.

        Raises
        ------
        OSError, sqlite3.Error
            If it could not be written.
        """
        folder.mkdir(parents=True)
        copied(self._connection, folder / FILE_NAME)
        head = holder.HeadFile(folder)
        head.write(self._last, self.head)
        head.close()

    def close(self) -> None:
        """Let go of the file; the write-ahead log is folded in."""
        if self._lock is not None:
            with suppress(OSError, sqlite3.Error):
                self.remember({"holder": None})
        with suppress(sqlite3.Error):
            self._connection.close()
        self._let_go()

    def _opened(self, reader: str, witness: Witness) -> tuple[Found | None, str, Holder | None]:
        """Return the journal, or why it can only be looked at, and who left it without closing it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = holder.lock(self.folder)
            if self._lock is None:
                return None, HELD, None
            found = recovery.opened(self.folder, witness)
            left_by = Holder.told(about_of(found.connection).get("holder"))
            _hold(found.connection, reader)
        except (OSError, sqlite3.OperationalError) as error:
            self._let_go()
            return None, _unwritable(self.folder, error), None
        except ValueError:
            self._let_go()
            raise
        _lay_out(self.folder / LOG_NAME)
        self._head_file.open()
        self._connection = found.connection
        self._anchor = Anchor(self.folder, self._head_file, self._is_ours)
        return found, "", left_by

    def _open_again(self) -> None:
        self._connection = connected(str(self.folder / FILE_NAME))
        remember(self._connection, {"holder": self.about.get("holder")})  # now there is a log
        _lay_out(self.folder / LOG_NAME)
        self._head_file.write(self._last, self.head)
        self._anchor = Anchor(self.folder, self._head_file, self._is_ours)

    def _facts(self) -> dict[str, Any]:
        return about_of(self._connection) | self._vouched

    def _is_ours(self) -> bool:
        return is_read_back(self._connection, self.folder / FILE_NAME)

    def _who_holds_it(self) -> str:
        who = Holder.told(self.about.get("holder"))
        told = who.in_words if who else "Another window"
        return (
            f"{told} has this session open; here it can be looked at and exported, but not changed. Close it there and "
            "open the scan again here to go on."
        )

    def _headless(self, was: HeadState) -> Literal["", "missing", "unreadable"]:
        """Return what is wrong with the head, as it was found; nothing where a session is just begun or upgraded."""
        if was in ("whole", "unreadable"):
            return "" if was == "whole" else "unreadable"
        is_begun = "scan_sha256" in self.about
        if was == "empty":  # so an earlier version left it until its first row was written
            return "unreadable" if len(self.trail) > 1 or (is_begun and not self.trail and not self.snapshots) else ""
        is_upgraded = bool(self.trail) and self.trail[-1].kind == "upgrade"
        return "missing" if (self.trail or is_begun) and not is_upgraded else ""

    def _foreign(self, witness: Witness, aside: str) -> str:
        """Put the snapshots of another log aside, where a folder for it is named; return which, and where they are."""
        foreign = [each.name for each in witness.snapshots if each not in self.snapshots]
        with suppress(OSError):
            for name in foreign if aside else ():
                (self.folder / aside).mkdir(exist_ok=True)
                (self.folder / name).rename(self.folder / aside / name)
        kept = f" (now in {aside})" if aside else ""
        return f"{', '.join(foreign)}{kept}" if foreign else ""

    def _was_replaced(self, witness: Witness) -> bool:
        written = next((e for e in reversed(self.trail) if e.seq == witness.head.seq), None)
        return written is not None and written.hash.hex() != witness.head.hash

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _let_go(self) -> None:
        self._anchor = None
        self._head_file.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _hold(connection: sqlite3.Connection, reader: str) -> None:
    """Write who has the session; where that cannot be, the connection keeps no file open."""
    try:
        remember(connection, {"holder": Holder.this_window(reader).as_json()})
    except sqlite3.Error:
        connection.close()
        raise


def _lay_out(log: Path) -> None:
    """Make the log long at once; where there is no room for that, it grows as it must."""
    with suppress(OSError), log.open("r+b") as file:
        length = file.seek(0, os.SEEK_END)
        if length < LOG_BYTES:
            file.write(bytes(LOG_BYTES - length))
            file.flush()
            os.fsync(file.fileno())


def _unsaved(folder: Path, error: sqlite3.Error) -> str:
    if _is_full(folder, error):
        return "The disk is full: the change could not be saved and was not made; make room on it, then make it again."
    return (
        f"The change could not be saved ({error}) and was not made; see that the folder {folder} can be written, then "
        "make it again."
    )


def _is_full(folder: Path, error: OSError | sqlite3.Error) -> bool:
    """Whether there is no room; SQLite calls it a mere I/O error where it cannot make the log's index of 32 kB."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_IOERR"):
        with suppress(OSError):
            return shutil.disk_usage(folder).free < LEAST_ROOM_BYTES
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or name == "SQLITE_FULL"


def _unwritable(folder: Path, error: OSError | sqlite3.OperationalError) -> str:
    if _is_full(folder, error):
        return "The disk is full, so this session can be looked at but not changed; make room and open the scan again."
    return (
        f"The folder {folder} cannot be written, so this session can be looked at but not changed; "
        "see to its permissions and open the scan again."
    )
