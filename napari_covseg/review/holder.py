"""One window writes into a session; others are told who does. And the head of the log, beside the log."""

from __future__ import annotations

import getpass
import os
import platform
import stat
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

LOCK_NAME, HEAD_NAME = "session.lock", "session.head"
ASIDE = "damaged-"
READINGS = 3
"""Another window may be writing it just then."""

HeadState = Literal["whole", "empty", "unreadable", "missing"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a session open for writing."""

    reader: str
    since_utc: str
    process: int
    computer: str

    @classmethod
    def this_window(cls, reader: str) -> Holder:
        """Return the one that asks."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(reader or getpass.getuser(), now, os.getpid(), platform.node())

    @classmethod
    def told(cls, facts: dict[str, Any] | None) -> Holder | None:
        """Return the holder that a journal tells of, None where it tells of none."""
        with suppress(TypeError, ValueError):
            return TypeAdapter(cls).validate_python(facts) if facts else None
        return None

    @property
    def in_words(self) -> str:
        """Who, since when, where."""
        since = datetime.fromisoformat(self.since_utc).astimezone()
        return f"{self.reader} since {since:%H:%M} (process {self.process} on {self.computer})"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def lock(folder: Path) -> FileLock | None:
    """Return the lock of a session's folder, held; None where another window holds it.

    The operating system lets go of it when the process ends, also when it is killed.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    held = FileLock(folder / LOCK_NAME, timeout=0, thread_local=False)
    try:
        held.acquire()
    except Timeout:
        return None
    return held


@dataclass(frozen=True, slots=True)
class Head:
    """The last row that was written, as a second witness beside the journal."""

    seq: int = 0
    hash: str = ""


class HeadFile:
    """A few bytes that are overwritten in place after every row: what was acknowledged is known outside the journal.

    Only the first are flushed: a process that is killed leaves them behind all the same, and after a power cut they can
    only be older than the journal, which harms nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / HEAD_NAME
        self._descriptor: int | None = None

    def read(self) -> Head:
        """Return what it says; row 0 and no hash where it says nothing that can be believed."""
        for _ in range(READINGS):
            with suppress(OSError, ValueError):
                seq, digest, check = self._path.read_text("ascii").split()
                if check == _check(seq, digest):
                    return Head(int(seq), digest)
        return Head()

    @property
    def state(self) -> HeadState:
        """Whether it is there and can be believed; empty, as earlier versions began it, it says nothing yet."""
        if self.read().hash:
            return "whole"
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "unreadable"
        return "unreadable" if found.st_size or not stat.S_ISREG(found.st_mode) else "empty"

    @property
    def is_deleted(self) -> bool:
        """Whether the file that is open has no name any more; also where none is open and nobody can tell."""
        with suppress(OSError):
            return self._descriptor is None or os.fstat(self._descriptor).st_nlink == 0
        return False

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is open is the one in the session's folder."""
        with suppress(OSError):
            return self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        return False

    def open(self) -> None:
        """Open it for writing; where that cannot be, the journal stands alone. A folder in its place is set aside."""
        with suppress(OSError):
            if self._descriptor is None:
                if self._path.is_dir():
                    self._path.rename(self._path.with_name(f"{ASIDE}{HEAD_NAME}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"))
                binary = getattr(os, "O_BINARY", 0)
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | binary, 0o644)

    def begin(self, seq: int, digest: str) -> None:
        """Write it for the first time and flush it, so that from now on it is never empty, nor wants room to grow."""
        self.write(seq, digest)
        with suppress(OSError):
            if self._descriptor is not None:
                os.fsync(self._descriptor)

    def write(self, seq: int, digest: str) -> None:
        """Say which row is the last, in a new file if it was deleted; where none can be, the journal stands alone."""
        if self.is_deleted:
            self.close()
        self.open()
        with suppress(OSError):
            if self._descriptor is None:
                return
            number = f"{seq:010d}"
            line = f"{number} {digest} {_check(number, digest)}\n".encode("ascii")
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, line)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _check(seq: str, digest: str) -> str:
    return f"{zlib.crc32(f'{seq} {digest}'.encode()):08x}"
