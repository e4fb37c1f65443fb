"""Whether the files of an open session still lie where they were opened: SQLite does not notice an unlinked one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from napari_covseg.review.holder import HeadFile
from napari_covseg.review.recovery import FILE_NAME, LOG_NAME

Where = Literal["here", "log deleted", "deleted", "moved", "replaced"]


class DisplacedError(OSError):
    """The files of an open session are no longer where they were opened."""


class Anchor:
    """Knows a journal and its log by device and inode; asking costs two looks at a folder, some microseconds.

    Parameters
    ----------
    folder
        The session's, its journal just opened.
    head
        The file beside the journal, open: it tells a folder that was moved from one that was deleted.
    """

    def __init__(self, folder: Path, head: HeadFile) -> None:
        self._head = head
        self._file, self._log = os.fspath(folder / FILE_NAME), os.fspath(folder / LOG_NAME)
        self._known, self._known_log = _identity(self._file), _identity(self._log)

    @property
    def where(self) -> Where:
        """Where the files are by now, as far as can be told."""
        found = _identity(self._file)
        if found is not None and found == self._known:
            return "here" if self._known_log in (None, _identity(self._log)) else "log deleted"
        if found is not None:
            return "replaced"
        return "deleted" if self._head.is_deleted or self._head.is_in_place else "moved"


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
