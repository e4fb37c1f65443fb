"""Whose turn a scan is: a folder of scans with the state of each, in a database that several windows may share.

Without more it is a SQLite file beside the sessions. A department names another database by URL, in
``COVSEG_WORKLIST`` or as an argument, for example ``postgresql+psycopg://reader@server/covseg`` (with ``pip install
"psycopg[binary]"``; tried on PostgreSQL 15); everything here is SQLAlchemy Core and knows no dialect. It holds the
folder's path, paths below it, states, readers and times, and nothing of the patient; who names files after patients
should rename them first. Lists share a database without knowing each other; `whose_list` says which is a folder's.

Several windows never undo each other's work: every change names the state that it changes, and is refused where that is
no longer so.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from napari_covseg.io import home, stem_of
from napari_covseg.io.scans_in import scans_in
from napari_covseg.review.reader_names import name_key, same_reader
from napari_covseg.review.whose_list import TABLES, Sharer, given_name, join, own_key, sharers

State = Literal["new", "in review", "signed", "rejected"]
SortedBy = Literal["name", "state", "reader", "minutes", "changed"]

STATES: tuple[State, ...] = get_args(State)
NEW, IN_REVIEW, SIGNED, REJECTED = STATES
URL_VARIABLE = "COVSEG_WORKLIST"
FILE_NAME = "worklist.sqlite"
PATIENCE_S = 10
"""How long to wait for another window to finish its change, which takes milliseconds, or for a server to answer."""

_SCANS = sa.Table(
    "covseg_scan",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("list", sa.String(1000), nullable=False),
    sa.Column("path", sa.String(1000), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("reader", sa.String(200), nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("note", sa.String(1000), nullable=False),
    sa.Column("changed_utc", sa.String(40), nullable=False),
    sa.UniqueConstraint("list", "path"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One scan of a worklist.

    Parameters
    ----------
    path
        The scan, a file or a folder.
    name
        Its path below the worklist's folder, without the format's ending.
    state, reader
        How far it is, and who has or had it; empty for nobody.
    minutes
        Time spent on it, by all readers together.
    note
        Why it was rejected.
    changed_utc
        When its state changed last.
    """

    path: Path
    name: str
    state: State
    reader: str
    minutes: float
    note: str
    changed_utc: datetime


class Worklist:
    """The worklist of a folder.

    Parameters
    ----------
    folder
        Where the scans are, at any depth; call `look` to take in what is new there.
    url
        The database; ``$COVSEG_WORKLIST`` without, and a SQLite file in the reader's own folder without that.
    name
        What the list is called in a shared database, for others to share it who see the folder at another path;
        ``$COVSEG_WORKLIST_NAME`` without, and without that it is the list of this folder on this computer alone.

    Raises
    ------
    ValueError
        If there is no such folder, the database cannot be used, or the name is that of another folder's list.
    """

    def __init__(self, folder: Path, url: str = "", name: str = "") -> None:
        if not folder.is_dir():
            raise ValueError(f"There is no folder {folder}; choose one that holds scans.")
        self.folder = folder.resolve()
        url = url or os.environ.get(URL_VARIABLE, "")
        self.is_departments = bool(url)
        self.name = given_name(name) if url else ""
        self.name_given = self.name if name else ""
        self._key = self.name or (own_key(self.folder) if url else str(self.folder))
        self._engine = _engine(url)
        if self.name:
            join(self._engine, self.name, self.folder)

    @property
    def sharers(self) -> tuple[Sharer, ...]:
        """The folders whose scans are on this list, on this computer and others; none where nobody named it."""
        return sharers(self._engine, self.name) if self.name else ()

    @property
    def earlier_name(self) -> str:
        """The name under which an earlier version kept this folder's list, and perhaps others'; empty where none is."""
        if self.name or not self.is_departments:
            return ""
        query = sa.select(_SCANS.c.id).where(_SCANS.c.list == self.folder.name).limit(1)
        with self._engine.connect() as connection:
            return self.folder.name if connection.execute(query).first() else ""

    def look(self) -> int:
        """Take in the scans that came into the folder, as new ones; return how many. Those that left stay listed."""
        known = {entry.path for entry in self.entries()}
        fresh = [path for path in scans_in(self.folder) if path not in known]
        return sum(self._added(self._told(path)) for path in fresh)

    def entries(
        self,
        *,
        search: str = "",
        states: Collection[State] = STATES,
        by: SortedBy = "name",
        descending: bool = False,
    ) -> tuple[Entry, ...]:
        """Return the scans, sorted; those only whose name, reader or note contains every word that is searched."""
        query = sa.select(_SCANS).where(_SCANS.c.list == self._key, _SCANS.c.state.in_(list(states)))
        with self._engine.connect() as connection:
            found = [self._entry(row) for row in connection.execute(query)]
        words = search.casefold().split()
        kept = [e for e in found if all(word in f"{e.name} {e.reader} {e.note}".casefold() for word in words)]
        kept.sort(key=lambda entry: entry.name.casefold())
        return tuple(sorted(kept, key=_KEYS[by], reverse=descending))

    def entry(self, path: Path) -> Entry | None:
        """Return a scan's entry, None where it is not on the list."""
        query = sa.select(_SCANS).where(*self._at(path))
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else self._entry(row)

    def next(self, reader: str) -> Entry | None:
        """Take the next scan: one that the reader has in review already, or else a new one; None if there is none."""
        for entry in self.entries(states=(IN_REVIEW,)):
            if same_reader(entry.reader, reader):
                return entry
        for entry in self.entries(states=(NEW,)):
            if self._changed(entry.path, (NEW,), state=IN_REVIEW, reader=reader):  # nobody was quicker
                return self.entry(entry.path)
        return None

    def take(self, path: Path, reader: str) -> Entry:
        """Take a scan that is new, or go on with one's own.

        Raises
        ------
        ValueError
            If it is not on the list, another reader has it, or it is signed or rejected.
        """
        self._changed(path, (NEW,), state=IN_REVIEW, reader=reader)
        entry = self._known(path)
        if entry.state != IN_REVIEW:
            raise ValueError(f"{entry.name} is {entry.state} by {entry.reader}; only they can put it back.")
        if not same_reader(entry.reader, reader):
            raise ValueError(f"{entry.reader} has {entry.name} in review; take another scan, or ask for this one.")
        return entry

    def sign(self, path: Path, reader: str) -> Entry:
        """Say that a scan was signed.

        Raises
        ------
        ValueError
            If it is not on the list, or another reader has it.
        """
        return self._moved(path, reader, SIGNED)

    def reject(self, path: Path, reader: str, why: str) -> Entry:
        """Say that a scan cannot be reviewed, and why.

        Raises
        ------
        ValueError
            If it is not on the list, another reader has it, or no reason is given.
        """
        if not why.strip():
            raise ValueError("Say why the scan is rejected, so that others know.")
        return self._moved(path, reader, REJECTED, why.strip()[:1000])

    def put_back(self, path: Path, reader: str) -> Entry:
        """Let go of a scan of one's own: it is new again, for anybody to take; minutes stay.

        Raises
        ------
        ValueError
            If it is not on the list, or another reader has it in review, signed or rejected it.
        """
        self._changed(path, (SIGNED, REJECTED, IN_REVIEW), of=reader, state=NEW, reader="", note="")
        entry = self._known(path)
        if entry.state != NEW:
            has = f"has {entry.name} in review" if entry.state == IN_REVIEW else f"{entry.state} {entry.name}"
            raise ValueError(f"{entry.reader} {has}; only they can put it back.")
        return entry

    def spend(self, path: Path, seconds: float) -> None:
        """Add to the time that was spent on a scan; nothing where it is not on the list."""
        with self._engine.begin() as connection:
            added = _SCANS.c.seconds + max(0.0, seconds)
            connection.execute(sa.update(_SCANS).where(*self._at(path)).values(seconds=added))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _moved(self, path: Path, reader: str, state: State, note: str = "") -> Entry:
        if not self._changed(path, (IN_REVIEW,), of=reader, state=state, note=note):
            self._changed(path, (NEW,), state=state, reader=reader, note=note)
        entry = self._known(path)
        if entry.state != state or not same_reader(entry.reader, reader):
            raise ValueError(f"{entry.name} is {entry.state} with {entry.reader}; it was left so.")
        return entry

    def _changed(self, path: Path, states: Collection[State], *, of: str | None = None, **values: Any) -> bool:
        """Change an entry if it is in one of these states, and with this reader, in one step; return whether it was."""
        conditions = [*self._at(path), _SCANS.c.state.in_(list(states))]
        if of is not None:
            entry = self.entry(path)  # no database folds names as we do: the condition is on how it stands there
            conditions.append(_SCANS.c.reader == (entry.reader if entry and same_reader(entry.reader, of) else of))
        with self._engine.begin() as connection:
            done = connection.execute(sa.update(_SCANS).where(*conditions).values(changed_utc=_now(), **values))
        return bool(done.rowcount)

    def _added(self, path: str) -> bool:
        fresh = {"state": NEW, "reader": "", "seconds": 0.0, "note": "", "changed_utc": _now()}
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(_SCANS).values(list=self._key, path=path, **fresh))
        except IntegrityError:  # another window added it just now
            return False
        return True

    def _known(self, path: Path) -> Entry:
        entry = self.entry(path)
        if entry is None:
            raise ValueError(f"{path.name} is not on the worklist of {self.folder.name}; look into the folder again.")
        return entry

    def _at(self, path: Path) -> tuple[sa.ColumnElement[bool], ...]:
        return _SCANS.c.list == self._key, _SCANS.c.path == self._told(path)

    def _told(self, path: Path) -> str:
        path = path if path.is_absolute() else path.resolve()
        for each in (path, path.resolve()):
            if each.is_relative_to(self.folder):
                return each.relative_to(self.folder).as_posix()
        return path.as_posix()

    def _entry(self, row: Any) -> Entry:
        path = self.folder / row.path
        name = (Path(row.path).parent / stem_of(path)).as_posix()
        changed_utc = datetime.fromisoformat(row.changed_utc)
        return Entry(path, name, row.state, row.reader, row.seconds / 60, row.note, changed_utc)


_KEYS: dict[str, Any] = {
    "name": lambda entry: entry.name.casefold(),
    "state": lambda entry: STATES.index(entry.state),
    "reader": lambda entry: name_key(entry.reader),
    "minutes": lambda entry: entry.minutes,
    "changed": lambda entry: entry.changed_utc,
}


def _engine(url: str) -> sa.Engine:
    try:
        engine = sa.create_engine(url or _own(), **_patience(url))
        try:
            TABLES.create_all(engine)
        except DBAPIError:  # another window made the table between our look and our making
            TABLES.create_all(engine)
    except ModuleNotFoundError as error:
        how = ' with pip install "psycopg[binary]"' if error.name == "psycopg" else ""
        raise ValueError(
            f"The worklist's database needs the Python package {error.name}; install it{how}, or check {URL_VARIABLE}."
        ) from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise ValueError(f"The worklist's database URL cannot be used ({error}); check {URL_VARIABLE}.") from error
    except (SQLAlchemyError, OSError) as error:
        told = f"The worklist's database cannot be opened ({_first_line(error)})"
        raise ValueError(f"{told}; see that it runs, or check {URL_VARIABLE}.") from error
    return engine


def _first_line(error: Exception) -> str:
    """Return what a driver says in its first line: the others are advice to whoever runs the server."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return said[0].strip() if said else type(error).__name__


def _own() -> str:
    home().mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{home() / FILE_NAME}"


def _patience(url: str) -> dict[str, Any]:
    """Return how long SQLite waits for another window, and PostgreSQL for its server, which may have been restarted."""
    if not url or url.startswith("sqlite"):
        return {"connect_args": {"timeout": PATIENCE_S}}
    speaks_libpq = sa.make_url(url).drivername in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
    return {"pool_pre_ping": True} | ({"connect_args": {"connect_timeout": PATIENCE_S}} if speaks_libpq else {})


def _now() -> str:
    return datetime.now(UTC).isoformat()
