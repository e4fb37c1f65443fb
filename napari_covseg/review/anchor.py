"""Whether the files of an open session still lie where they were opened: SQLite does not notice an unlinked one."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from napari_covseg.review.holder import HeadFile
from napari_covseg.review.recovery import FILE_NAME, LOG_NAME
from napari_covseg.review.tables import about_of, remember

Where = Literal["here", "log deleted", "deleted", "moved", "replaced", "out of reach"]

LEFT_BY_NFS = ".nfs*"
"""What a deleted file that is still open is called on NFS: there it keeps a name."""


class DisplacedError(OSError):
    """The files of an open session are no longer where they were opened."""


class Anchor:
    """Knows a journal and its log by device and inode; asking costs two looks at a folder, some microseconds.

    A network drive may number its files anew while they are open. So where the numbers are others, what is written
    through the open journal is looked for in the file at its place: only where it is not found there, that is another.

    Parameters
    ----------
    folder
        The session's, its journal just opened.
    head
        The file beside the journal, open: it tells a folder that was moved from one that was deleted.
    is_ours
        Whether the journal at its place is the one that is open; raises where that cannot be told.
    """

    def __init__(self, folder: Path, head: HeadFile, is_ours: Callable[[], bool]) -> None:
        self._folder, self._head, self._is_ours = folder, head, is_ours
        self._file, self._log = os.fspath(folder / FILE_NAME), os.fspath(folder / LOG_NAME)
        self._known: tuple[int, int] | None = None
        self._known_log: tuple[int, int] | None = None
        with suppress(OSError):
            self._known, self._known_log = _identity(self._file), _identity(self._log)

    @property
    def where(self) -> Where:
        """Where the files are by now, as far as can be told."""
        if self._known is None:
            return "here"  # nothing was known of it from the beginning
        try:
            return self._where(_identity(self._file), _identity(self._log))
        except (OSError, sqlite3.Error):
            return "out of reach"

    def _where(self, found: tuple[int, int] | None, log: tuple[int, int] | None) -> Where:
        if found is None:
            is_deleted = self._head.is_deleted or self._head.is_in_place or any(self._folder.glob(LEFT_BY_NFS))
            return "deleted" if is_deleted else "moved"
        if found == self._known and self._known_log in (None, log):
            return "here"
        if log is not None and self._is_ours():
            self._known, self._known_log = found, log
            return "here"
        return "log deleted" if found == self._known else "replaced"


def is_read_back(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether what is written through a connection is read in the file at a path: a copy of it would not do.

    Raises
    ------
    sqlite3.Error
        If nothing can be written.
    """
    token = secrets.token_hex(8)
    connection.execute("PRAGMA wal_autocheckpoint=0")  # in the log alone, so that it vouches for that as well
    try:
        remember(connection, {"anchor": token})
        address = f"{path.resolve().as_uri()}?mode=ro"
        with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True, timeout=1)) as there:
            return about_of(there).get("anchor") == token
        return False
    finally:
        connection.execute("PRAGMA wal_autocheckpoint=1000")


def _identity(path: str) -> tuple[int, int] | None:
    """Return by which numbers a file is known; None where there is none.

    Raises
    ------
    OSError
        If nobody can tell, as on a drive that does not answer.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
