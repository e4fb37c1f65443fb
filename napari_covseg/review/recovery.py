"""Opening a journal: as it stands where it is whole, and otherwise put together again from what is left."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from napari_covseg.review import audit, begun, salvage
from napari_covseg.review.audit import Event, Ranges, Row
from napari_covseg.review.holder import ASIDE, Head
from napari_covseg.review.remains import left_of
from napari_covseg.review.snapshot import Snapshot
from napari_covseg.review.tables import FORMAT, about_of, connected, create, insert, remember, rows_of, sound, upgraded

FILE_NAME = "session.sqlite"
LOG_NAME = f"{FILE_NAME}-wal"
REBUILT_NAME = f"{FILE_NAME}.rebuilt"
IN_MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory: the disk of temporary files may be as full as that of the session."""

_NO_FILE_BESIDE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_FULL")


@dataclass(frozen=True, slots=True)
class Damage:
    """What was wrong with a journal.

    Parameters
    ----------
    missing
        Numbers of rows that are gone and that no earlier recovery told of.
    bare
        Numbers of rows whose voxels could not be read and of which no earlier recovery told.
    last
        The number of the last row that is known to have been written.
    aside
        The folder in which the damaged files are kept; empty where nothing could be written.
    changed
        Numbers of rows that were there and are not as they were written.
    """

    missing: Ranges
    bare: tuple[int, ...]
    last: int
    aside: str = ""
    changed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Witness:
    """What is known of a journal from beside it: how many rows were written, and its snapshots, the newest first."""

    head: Head
    snapshots: tuple[Snapshot, ...] = ()

    @property
    def about(self) -> Mapping[str, Any]:
        """The facts that the newest snapshot tells."""
        return self.snapshots[0].about if self.snapshots else {}

    @property
    def last(self) -> int:
        """The number of the last row that is known to have been written."""
        return max(self.head.seq, self.snapshots[0].seq if self.snapshots else 0)

    def of(self, events: Sequence[Event]) -> Witness:
        """Return it without snapshots of another log: they tell another scan or reader, or of other rows."""
        vouched, hashes = begun.vouched(events), {e.seq: e.hash.hex() for e in events}

        def is_foreign(each: Snapshot) -> bool:
            is_beyond = each.seq not in hashes  # where the log reaches up to it, its last row decides
            is_of_others = any(hashes.get(seq, digest) != digest for seq, digest in each.rows)
            return begun.is_another(each.about, vouched) or (is_beyond and is_of_others)

        return replace(self, snapshots=tuple(each for each in self.snapshots if not is_foreign(each)))


@dataclass(frozen=True, slots=True)
class Found:
    """A journal that can be worked with, its rows, what tells of it from beside, and what was wrong with it, if any."""

    connection: sqlite3.Connection
    events: tuple[Event, ...]
    witness: Witness
    damage: Damage | None = None


class _DamagedError(Exception):
    """The journal is not whole; these rows of it are not as they were written."""

    def __init__(self, said: str, changed: tuple[int, ...] = ()) -> None:
        super().__init__(said)
        self.changed = changed


def opened(folder: Path, witness: Witness) -> Found:
    """Open the journal of a folder for writing; a damaged one is set aside and a new one made from what is left.

    Raises
    ------
    ValueError
        If the file is no journal of ours, or one of a later version.
    OSError, sqlite3.OperationalError
        If it cannot be written.
    """
    path, rebuilt = folder / FILE_NAME, folder / REBUILT_NAME
    if rebuilt.exists():
        _put_in_place(rebuilt, path)
    connection, changed = None, ()
    if _looks_sound(path, witness):
        try:
            connection = connected(str(path))
            return _whole(connection, witness)
        except (_DamagedError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                _close(connection)
                raise
            changed = getattr(error, "changed", ())
    # The connection is closed after that: closing folds the log into the file.
    rows, about = left_of(folder / FILE_NAME, folder / LOG_NAME)
    aside = _set_aside(folder)
    _close(connection)
    draft = folder / f"{FILE_NAME}.draft"
    for leftover in (draft, folder / f"{draft.name}-wal", folder / f"{draft.name}-shm"):
        leftover.unlink(missing_ok=True)
    found = _rebuilt(connected(str(draft)), rows, about, witness, aside)
    found.connection.close()
    draft.replace(rebuilt)
    _put_in_place(rebuilt, path)
    damage = replace(found.damage, changed=changed) if found.damage else None
    return replace(found, connection=connected(str(path)), damage=damage)


def name_aside() -> str:
    """Return what a folder of damaged files is called that is made now."""
    return f"{ASIDE}{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"


def looked_at(folder: Path, witness: Witness) -> Found:
    """Return a copy of the journal in memory, for a window that may not write; nothing on disk is touched.

    Raises
    ------
    ValueError
        If the file is no journal of ours, one of a later version, or one that an earlier version has open.
    """
    path = folder / FILE_NAME
    memory = connected(":memory:")
    if not path.exists() and not witness.about:
        create(memory)
        return Found(memory, (), witness)
    try:
        try:
            _read_into(memory, f"{path.resolve().as_uri()}?mode=ro")
        except sqlite3.OperationalError as error:
            if not getattr(error, "sqlite_errorname", "").startswith(_NO_FILE_BESIDE) or _is_damage(error):
                raise
            _read_without_a_file_beside(memory, path)
        return _whole(memory, witness)
    except (_DamagedError, sqlite3.DatabaseError) as error:
        memory.close()
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):  # version 1 lets nobody look
            raise ValueError(f"The session {folder.name} is open in another window; close that one first.") from error
        rows, about = left_of(folder / FILE_NAME, folder / LOG_NAME)
        found = _rebuilt(connected(":memory:"), rows, about, witness, "")
        changed = getattr(error, "changed", ())
        return replace(found, damage=replace(found.damage, changed=changed)) if found.damage else found


def _read_into(memory: sqlite3.Connection, address: str) -> None:
    with_file = sqlite3.connect(address, uri=True, timeout=2)
    try:
        with_file.execute("BEGIN")
        with_file.execute("SELECT count(*) FROM sqlite_master").fetchone()  # backup itself waits for ever
        with_file.backup(memory)
    finally:
        with_file.close()


def _read_without_a_file_beside(memory: sqlite3.Connection, path: Path) -> None:
    """Read a journal beside which SQLite can make no file: as it is without a log, and otherwise a copy of both."""
    if not path.with_name(LOG_NAME).exists():
        _read_into(memory, f"{path.resolve().as_uri()}?immutable=1")
        return
    try:
        with _copied(path) as copy:
            _read_into(memory, copy.as_uri())
    except sqlite3.OperationalError:
        if not IN_MEMORY.is_dir():
            raise
        with _copied(path, IN_MEMORY) as copy:
            _read_into(memory, copy.as_uri())


@contextmanager
def _copied(path: Path, within: Path | None = None) -> Iterator[Path]:
    """Copy a journal and its log to where they can be written, for a moment."""
    with TemporaryDirectory(dir=within) as place:
        try:
            for each in (path, path.with_name(LOG_NAME)):
                if each.exists():
                    shutil.copyfile(each, Path(place) / each.name)
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error
        yield (Path(place) / path.name).resolve()


def _put_in_place(rebuilt: Path, path: Path) -> None:
    """Let a rebuilt journal take the place of the damaged one; can be done again after a crash in between."""
    for leftover in (path.with_name(LOG_NAME), path.with_name(f"{FILE_NAME}-shm")):
        leftover.unlink(missing_ok=True)  # a log that stays would be laid over the new file
    rebuilt.replace(path)


def _looks_sound(path: Path, witness: Witness) -> bool:
    """Whether SQLite may be let near it: of an empty file it would throw the log away.

    Raises
    ------
    ValueError
        If somebody else's file is in the journal's place.
    """
    try:
        with path.open("rb") as file:
            head = file.read(salvage.FIRST_PAGE_STARTS_AT)
    except FileNotFoundError:
        return not witness.last and not witness.about
    if not salvage.is_cut_or_whole_sqlite(head) and not witness.about:
        raise ValueError(f"The session {path.parent.name} is damaged: its journal is not readable.")
    size, page = path.stat().st_size, int.from_bytes(head[16:18])
    if size == 0 and not path.with_name(LOG_NAME).exists() and not witness.last and not witness.about:
        return True
    return len(head) == salvage.FIRST_PAGE_STARTS_AT and head.startswith(salvage.MAGIC) and size >= max(page, 512)


def _is_damage(error: sqlite3.OperationalError) -> bool:
    """Whether SQLite's complaint is of what it read rather than of what it may not write."""
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")  # Python's own, of text that is no UTF-8, has none
    return name in ("SQLITE_ERROR", "SQLITE_IOERR_SHORT_READ") or name.startswith("SQLITE_CORRUPT")


def _whole(connection: sqlite3.Connection, witness: Witness) -> Found:
    """Return the journal of a connection if all of it verifies.

    Raises
    ------
    _DamagedError
        If it does not.
    ValueError
        If it is of a later version.
    """
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise _DamagedError(said)
    try:
        version = upgraded(connection)
        pruned = about_of(connection).get("compacted_to", 0) if version else 0
    except (ValueError, TypeError) as error:
        raise _DamagedError("The facts about the session cannot be read.") from error
    if version is None:
        if witness.last or witness.about:
            raise _DamagedError("The tables are gone.")
        create(connection)
        return Found(connection, (), witness)
    if version > FORMAT:
        raise ValueError("This session was written by a newer CovSeg; update this one to open it.")
    rows, bare, changed = [], [], []
    for row in rows_of(connection):
        if _is_bare(row, pruned):
            bare.append(row.seq)
        if not row.is_whole:
            changed.append(row.seq)
        rows.append(row if row.payload is None else row._replace(payload=b""))
    events = tuple(audit.read(row) for row in rows) if not changed else ()
    known, witness = audit.accounted(events), witness.of(events)
    is_right = not changed and audit.known_bare(events).issuperset(bare)
    if not is_right or not audit.is_chained(rows, known) or _gaps(rows, witness.last, known):
        raise _DamagedError("A row is missing or was changed.", tuple(changed))
    return Found(connection, events, witness)


def _is_bare(row: Row, pruned: int) -> bool:
    """Whether the voxels of a row are gone that nobody let go of."""
    return row.payload is None and row.seq > pruned and not row.has_its_payload


def _gaps(rows: Sequence[Row], last: int, known: Ranges) -> Ranges:
    return audit.missing((row.seq for row in rows), max(last, rows[-1].seq if rows else 0), known)


def _rebuilt(
    connection: sqlite3.Connection, rows: Sequence[Row], about: Mapping[str, Any], witness: Witness, aside: str
) -> Found:
    create(connection)
    connection.execute("BEGIN")
    for row in rows:
        insert(connection, row)
    events = tuple(audit.read(row) for row in rows)
    witness = witness.of(events)
    known = [sound(about), sound(witness.about)]
    about = {**known[0], **known[1], "compacted_to": max(each.get("compacted_to", 0) for each in known)}
    remember(connection, {**about, **begun.vouched(events), "format": FORMAT})
    connection.execute("COMMIT")
    pruned = about["compacted_to"]
    told = audit.known_bare(events)
    bare = tuple(row.seq for row in rows if _is_bare(row, pruned) and row.seq not in told)
    gaps = _gaps(rows, witness.last, audit.accounted(events))
    last = max(witness.last, rows[-1].seq if rows else 0)
    return Found(connection, events, witness, Damage(gaps, bare, last, aside))


def _set_aside(folder: Path) -> str:
    """Copy the damaged files into a folder of their own, whose name is returned."""
    name = name_aside()
    there: Iterable[Path] = [path for path in (folder / FILE_NAME, folder / LOG_NAME) if path.exists()]
    for path in there:
        (folder / name).mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name / path.name)
    return name if there else ""


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with suppress(sqlite3.Error):
            connection.close()
