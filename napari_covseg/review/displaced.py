"""What becomes of an open session whose files were deleted, moved or replaced: what can be kept is kept, and said."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime

from napari_covseg.review.journal import Journal
from napari_covseg.review.keeping import Keeper

ASIDE = "displaced-"


def kept(journal: Journal, keeper: Keeper) -> str:
    """Write deleted files again, set aside what a replaced one held; return what the reader is told.

    Files that were deleted can be read as long as they are open, so nothing that was saved is lost with them.

    Returns
    -------
    str
        What happened and what to do; empty where everything is in its place.
    """
    where = journal.where
    if where == "here":
        return ""
    if where == "moved":
        return (
            f"The folder of this session was moved while it was open, so nothing more can be saved; put it back to "
            f"{journal.folder} and make the change again. It was not made; what was saved before is in the folder."
        )
    try:
        return _set_aside(journal, keeper) if where == "replaced" else _written_again(journal, keeper, where)
    except (OSError, sqlite3.Error) as error:
        return (
            f"The files of this session were {where.split()[-1]} while it was open and {journal.folder} cannot be "
            f"written ({error}); the change was not made. Export the mask, see to the disk, and try again."
        )


def _written_again(journal: Journal, keeper: Keeper, where: str) -> str:
    until = f" up to {journal.trail[-1].time_utc.astimezone():%H:%M:%S}" if journal.trail else ""
    if where == "log deleted":
        journal.fold_in()
    else:
        journal.write_again()
        keeper.begin_anew()
    return (
        f"Files of this session were deleted while it was open; everything{until} was written again to "
        f"{journal.folder}, but this change was not made: make it again."
    )


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
