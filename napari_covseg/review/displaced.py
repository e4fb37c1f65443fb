"""What becomes of an open session whose files were deleted, moved or replaced: what can be kept is kept, and said."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from napari_covseg.review.journal import Journal
from napari_covseg.review.keeping import Keeper

ASIDE = "displaced-"
NOT_MADE = "the change was not made. Export the mask, see to the disk, and try again."


def kept(journal: Journal, keeper: Keeper, *, at_close: bool = False) -> str:
    """Write deleted files again, set aside what a replaced one held; return what the reader is told.

    Files that were deleted can be read as long as they are open, so nothing that was saved is lost with them.

    Parameters
    ----------
    journal, keeper
        The session's.
    at_close
        Whether nothing was to be changed and the session ends: what cannot be written in its place is kept elsewhere.

    Returns
    -------
    str
        What happened and what to do; empty where everything is in its place, or was set aside before.
    """
    where = journal.where
    if where == "here" or journal.condition.read_only:
        return ""
    if where in ("moved", "out of reach"):
        return _as_it_was_saved(where == "moved", journal.folder, at_close=at_close)
    try:
        if where == "replaced":
            return _set_aside(journal, keeper)
        return _written_again(journal, keeper, log_alone=where == "log deleted", at_close=at_close)
    except (OSError, sqlite3.Error) as error:
        what = "replaced" if where == "replaced" else "deleted"
        told = (
            f"The files of this session were {what} while it was open and {journal.folder} cannot be written ({error})"
        )
        return f"{told}; {_kept_elsewhere(journal, keeper) if at_close else NOT_MADE}"


def _as_it_was_saved(is_moved: bool, folder: Path, *, at_close: bool) -> str:
    if is_moved and at_close:
        return (
            f"The folder of this session was moved while it was open; put it back to {folder} to go on; all is in it."
        )
    if is_moved:
        return (
            f"The folder of this session was moved while it was open, so nothing more can be saved; put it back to "
            f"{folder} and make the change again. It was not made; what was saved before is in the folder."
        )
    begin = f"The folder {folder} of this session cannot be reached"
    if at_close:
        return f"{begin}; what was saved is in it, see to the drive and open the scan again."
    return f"{begin}, so the change was not made; see to the drive and make it again. What was saved before is in it."


def _written_again(journal: Journal, keeper: Keeper, *, log_alone: bool, at_close: bool) -> str:
    until = f" up to {journal.trail[-1].time_utc.astimezone():%H:%M:%S}" if journal.trail else ""
    if log_alone:
        journal.fold_in()
    else:
        journal.write_again()
        keeper.begin_anew()
    told = (
        f"Files of this session were deleted while it was open; everything{until} was written again to {journal.folder}"
    )
    return f"{told}." if at_close else f"{told}, but this change was not made: make it again."


def _set_aside(journal: Journal, keeper: Keeper) -> str:
    aside = journal.folder / f"{ASIDE}{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    journal.copy_to(aside)
    keeper.leave_in(aside)
    told = (
        f"Another session was put in the place of this one while it was open; what was done here is kept in {aside}, "
        "and can be looked at but not changed. Open the scan again to go on with the other."
    )
    journal.condition = replace(journal.condition, read_only=told)
    return told


def _kept_elsewhere(journal: Journal, keeper: Keeper) -> str:
    """Write the session where there is room for a while, since it ends with its last open file; return where."""
    try:
        place = Path(mkdtemp(prefix="covseg-")) / journal.folder.name
        journal.copy_to(place)
        keeper.leave_in(place)
    except (OSError, sqlite3.Error) as error:
        return f"nor can it be kept elsewhere ({error}), and what was done in it is lost."
    return f"everything is kept in {place}. Put that folder in its place to go on."
