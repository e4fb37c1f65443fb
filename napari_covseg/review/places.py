"""Where the sessions of a scan are: one folder per reader, found by the scan's fingerprint."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from napari_covseg.io.stated import NOTHING, Stated, kept_in, read
from napari_covseg.review import snapshot
from napari_covseg.review.opening import is_on, is_session
from napari_covseg.review.reader_names import name_key, same_reader
from napari_covseg.review.recovery import FILE_NAME
from napari_covseg.review.session import ReviewSession
from napari_covseg.review.tables import about_of
from napari_covseg.volume import Volume

OWN_BESIDE = (
    "It can be looked at and exported here, but not changed; press Second reading on the Review tab to begin your own."
)


@dataclass(frozen=True, slots=True)
class FoundAt:
    """Where a scan was read from, and what the reader stated about it."""

    path: Path
    stated: Stated = NOTHING


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of a session, why it can only be looked at, if so, what else is to be told, and whose it is."""

    folder: Path
    read_only: str = ""
    note: str = ""
    of: str = ""


def folder_of(sessions: Path, scan: Volume, reader: str, path: Path) -> Path:
    """Return the folder of a reader's session of a scan: the reader's own where there is one, else the first."""
    first = _first(sessions, scan, path)
    is_renamed = first.name != _name_for(scan) and is_session(first)
    names = {
        each: _reader_of(each) for each in (*_family(first), *(_astray(sessions, scan, path) if is_renamed else ()))
    }
    own = [folder for folder, name in names.items() if same_reader(name, reader)]
    own.sort(key=lambda folder: names[folder] != reader)  # earlier versions began one for every way of typing a name
    return own[0] if own else first


def folders_of(sessions: Path, scan: Volume, path: Path) -> tuple[Path, ...]:
    """Return the folders of all sessions of a scan that is at a path now, the first reader's first."""
    return _family(_first(sessions, scan, path))


def folders_beside(folder: Path) -> tuple[Path, ...]:
    """Return the folders of all sessions of the scan of a session, its own with them."""
    first = str(facts_in(folder).get("scan_sha256"))[:8]
    name, _, number = folder.name.rpartition("-")
    return _family(folder.with_name(name) if number != first and name.endswith(f"-{first}") else folder)


def folder_for_another_reader(sessions: Path, scan: Volume, reader: str, path: Path) -> Path:
    """Return a folder for a reader's own session of a scan that another reader has begun.

    Raises
    ------
    ValueError
        If the reader has a session of this scan, or nobody has.
    """
    folders = folders_of(sessions, scan, path)
    if not folders:
        raise ValueError("Nobody has read this scan yet; the session that is open is the first.")
    if any(same_reader(_reader_of(folder), reader) for folder in folders):
        raise ValueError(f"{reader} has a session of this scan already; another reader may begin one beside it.")
    return sessions / f"{_first(sessions, scan, path).name}-{max(1, *map(_number, folders)) + 1}"


def place_of(sessions: Path, scan: Volume, reader: str, found_at: FoundAt) -> Place:
    """Return where the session of a scan is or will be, whose it is, and whether the scan changed since another began.

    Nobody writes in the session of another reader.
    """
    folder = folder_of(sessions, scan, reader, found_at.path)
    whose = _reader_of(folder)
    if name_key(whose) and not same_reader(whose, reader):
        return Place(folder, read_only=f"This is the reading of {whose}. {OWN_BESIDE}", of=whose)
    other = None if is_session(folder) else changed_since(sessions, reader, found_at)
    if other is None:
        was_at = Path(facts_in(folder).get("scan_path") or found_at.path)
        renamed = f"{found_at.path.name} was called {was_at.name} before; its session goes on."
        return Place(folder, note="" if was_at.name == found_at.path.name else renamed)
    name = found_at.path.name
    if not is_on(facts_in(other).get("grid") or {}, scan.geometry):
        return Place(folder, note=f"{name} has changed since session {other.name} began; that one is kept as it is.")
    why = (
        f"{name} has changed on disk since this session began, so the session can be looked at but not changed; put "
        "the old scan back, or give the new one another name."
    )
    return Place(other, read_only=why)


def session_at(place: Place, scan: Volume, reader: str, found_at: FoundAt) -> ReviewSession:
    """Open the session at a place, new or as it was left.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    is_of_before = place.read_only and not place.of and is_session(place.folder)  # the scan changed since it began
    if is_of_before and facts_in(place.folder).get("scan_sha256") != scan.sha256:
        return ReviewSession.resume(place.folder, reader, read_only=place.read_only)
    if place.read_only:
        looked_at = ReviewSession.begin(place.folder, scan, reader, found_at.path, read_only=place.read_only)
        if not is_session(place.folder):
            looked_at.journal.remember({"reader": place.of})  # in memory; nothing is written
        return looked_at
    session = ReviewSession.begin(place.folder, scan, reader, found_at.path)
    session.notes += (place.note,) if place.note else ()
    if not session.is_read_only:
        session.keep_stated(found_at.stated)
    return session


def changed_since(sessions: Path, reader: str, found_at: FoundAt) -> Path | None:
    """Return the session whose scan was at this path when it was another scan; None where there is none.

    It is looked for by the path alone: a session keeps the name that its scan had when it began. The reader's own comes
    before those of others.

    A session of which something else was stated (another series, another spacing) is of another scan.
    """
    place = str(found_at.path.resolve())
    there: dict[Path, str] = {}
    for folder in sorted(sessions.iterdir()) if sessions.is_dir() else ():
        facts = facts_in(folder) if is_session(folder) else {}
        if facts.get("scan_path") != place:
            continue
        if (read(facts["stated"]) if facts.get("stated") else kept_in(folder)) == found_at.stated:
            there[folder] = str(facts.get("reader") or "")
    return next((folder for folder, whose in there.items() if same_reader(whose, reader)), next(iter(there), None))


def facts_in(folder: Path) -> Mapping[str, Any]:
    """Return what a session says about itself, without opening it; nothing where it cannot be read."""
    with suppress(sqlite3.Error, ValueError, TypeError):
        address = f"{(folder / FILE_NAME).resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            return about_of(connection)
    return next((each.about for each in snapshot.kept(folder)), {})


def _reader_of(folder: Path) -> str:
    """Return who began a session, as it says without being opened; empty where nobody knows."""
    return str(facts_in(folder).get("reader") or "")


def _first(sessions: Path, scan: Volume, path: Path) -> Path:
    """Return the first session of a scan: by its name and fingerprint, or by the latter where one was renamed."""
    named = sessions / _name_for(scan)
    return (
        named
        if is_session(named)
        else next(chain(_renamed(sessions, scan, path), _astray(sessions, scan, path)), named)
    )


def _name_for(scan: Volume) -> str:
    return f"{scan.name}-{scan.sha256[:8]}"


def _renamed(sessions: Path, scan: Volume, path: Path) -> Iterator[Path]:
    """Yield sessions of this scan under another name, but not those whose own file is still there: this is a copy."""
    for folder in sorted(sessions.glob(f"*-{scan.sha256[:8]}")) if sessions.is_dir() else ():
        facts = facts_in(folder)
        was_at = Path(facts.get("scan_path") or "")
        if facts.get("scan_sha256") == scan.sha256 and (was_at == path.resolve() or not was_at.exists()):
            yield folder


def _astray(sessions: Path, scan: Volume, path: Path) -> Iterator[Path]:
    """Yield sessions of this scan at this path, whatever their folders are called by now."""
    for folder in sorted(sessions.iterdir()) if sessions.is_dir() else ():
        facts = facts_in(folder) if is_session(folder) else {}
        if facts.get("scan_sha256") == scan.sha256 and facts.get("scan_path") == str(path.resolve()):
            yield folder


def _family(first: Path) -> tuple[Path, ...]:
    """Return the first session of a scan and those beside it, as far as they are there."""
    with suppress(OSError):
        beside = (each for each in first.parent.iterdir() if each.name.removeprefix(f"{first.name}-").isdecimal())
        return tuple(each for each in (first, *sorted(beside, key=_number)) if is_session(each))
    return ()


def _number(folder: Path) -> int:
    last = folder.name.rpartition("-")[2]
    return int(last) if last.isdecimal() and len(last) < 8 else 1
