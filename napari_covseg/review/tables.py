"""The journal's two tables in SQLite, and how those of earlier versions become today's."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_covseg.review import audit
from napari_covseg.review.audit import Row

FORMAT = 2

_KINDS = {"format": int, "compacted_to": int, "scan_path": str, "scan_name": str}

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY,
    time_utc TEXT NOT NULL,
    reader TEXT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    payload_sha256 BLOB NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL,
    payload BLOB
)""",
)


def connected(place: str) -> sqlite3.Connection:
    """Return a connection that has every statement on disk when it returns: write-ahead log, ``synchronous=FULL``."""
    connection = sqlite3.connect(place, isolation_level=None, timeout=2)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def copied(connection: sqlite3.Connection, path: Path) -> None:
    """Copy all of it into a new file."""
    copy = connected(str(path))
    try:
        connection.backup(copy)
    finally:
        copy.close()


def create(connection: sqlite3.Connection) -> None:
    """Make the tables where there are none."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    remember(connection, {"format": FORMAT})
    connection.execute("COMMIT")


def about_of(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return the facts about the session.

    Raises
    ------
    ValueError
        If one of them cannot be read, or is nothing of its kind.
    """
    about = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM about")}
    if about != sound(about):
        raise ValueError("The facts about the session cannot be read.")
    return about


def sound(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that are of the kind they should be; what `begun` vouches for is judged there."""
    return {key: value for key, value in about.items() if isinstance(value, _KINDS.get(key, object))}


def remember(connection: sqlite3.Connection, facts: Mapping[str, Any]) -> None:
    """Write facts; None takes one away."""
    for key, value in facts.items():
        if value is None:
            connection.execute("DELETE FROM about WHERE key = ?", (key,))
        else:
            connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, json.dumps(value)))


def insert(connection: sqlite3.Connection, row: Row) -> None:
    """Add a row; outside a transaction it is on disk when this returns."""
    connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def rows_of(connection: sqlite3.Connection) -> Iterator[Row]:
    """Yield every row in order."""
    return map(Row._make, connection.execute("SELECT * FROM event ORDER BY seq"))


def upgraded(connection: sqlite3.Connection) -> int | None:
    """Bring the tables of an earlier version up to today's; return the version that is there then, None for none."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"about", "event"} <= tables:
        return None
    version = int(about_of(connection).get("format", 1))
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(event)")]
    if version == 1 and "hash" not in columns:
        _seal_all(connection)
        version = FORMAT
    return version


def _seal_all(connection: sqlite3.Connection) -> None:
    """Give the rows of a journal of version 1 their hashes: what stood there then is sealed from now on."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ALTER TABLE event RENAME TO event_1")
    connection.execute(_SCHEMA[1])
    previous, seq = audit.GENESIS, 0
    older = connection.execute("SELECT time_utc, reader, kind, detail, payload FROM event_1 ORDER BY seq").fetchall()
    for seq, (*told, payload) in enumerate(older, start=1):
        row = audit.sealed(seq, previous, (told[0], told[1], told[2], told[3]), payload)
        insert(connection, row)
        previous = row.hash
    insert(connection, audit.written(seq + 1, previous, "", "upgrade", {"from": 1, "to": FORMAT}, None))
    connection.execute("DROP TABLE event_1")
    remember(connection, {"format": FORMAT})
    connection.execute("COMMIT")
