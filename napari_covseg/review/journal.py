"""The session on disk: one SQLite file in which everything stands before it is acknowledged.

Write-ahead log, ``synchronous=FULL``, and an exclusive lock, so that a second window cannot write into the same
session. Rows are only ever added.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

FILE_NAME = "session.sqlite"
FORMAT = 1

Kind = Literal["correction", "undo", "redo", "mark", "unmark", "sign"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time_utc TEXT NOT NULL,
    reader TEXT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    payload BLOB
);
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One row: when, who, what, its details and, for a correction, its voxels."""

    time_utc: datetime
    reader: str
    kind: Kind
    detail: dict[str, Any]
    payload: bytes | None


class Journal:
    """The journal of one session.

    Parameters
    ----------
    folder
        The session's folder; made if missing.

    Raises
    ------
    ValueError
        If another window holds it, it cannot be written, or it is no journal of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None, timeout=0.2)
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)
        except OSError as error:
            raise ValueError(f"The session folder {folder} cannot be written; choose another place.") from error
        except sqlite3.OperationalError as error:
            raise ValueError(f"The session {folder.name} is open in another window or cannot be written.") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"The session {folder.name} is damaged: its journal is not readable.") from error
        self.about.setdefault("format", FORMAT)

    @property
    def about(self) -> _About:
        """Facts about the session: what scan it belongs to, its grid."""
        return _About(self._connection)

    def append(self, kind: Kind, reader: str, detail: dict[str, Any], payload: bytes | None = None) -> Event:
        """Add a row; when this returns it is on disk.

        Raises
        ------
        OSError
            If it could not be written.
        """
        event = Event(datetime.now(UTC), reader, kind, detail, payload)
        row = (event.time_utc.isoformat(), reader, kind, json.dumps(detail, sort_keys=True), payload)
        try:
            self._connection.execute(
                "INSERT INTO event (time_utc, reader, kind, detail, payload) VALUES (?, ?, ?, ?, ?)", row
            )
        except sqlite3.Error as error:
            raise OSError(f"The change could not be saved in {self.folder.name} ({error}); it was not made.") from error
        return event

    def events(self) -> Iterator[Event]:
        """Yield every row in order."""
        rows = self._connection.execute("SELECT time_utc, reader, kind, detail, payload FROM event ORDER BY seq")
        for time_utc, reader, kind, detail, payload in rows:
            yield Event(datetime.fromisoformat(time_utc), reader, kind, json.loads(detail), payload)

    def close(self) -> None:
        """Let go of the file; the write-ahead log is folded in."""
        self._connection.close()


class _About:
    """JSON values by key."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getitem__(self, key: str) -> Any:
        row = self._connection.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return json.loads(row[0])

    def get(self, key: str) -> Any:
        """Return a value, or None."""
        try:
            return self[key]
        except KeyError:
            return None

    def __setitem__(self, key: str, value: Any) -> None:
        self._connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, json.dumps(value)))

    def setdefault(self, key: str, value: Any) -> None:
        """Set a value where there is none."""
        self._connection.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (key, json.dumps(value)))
