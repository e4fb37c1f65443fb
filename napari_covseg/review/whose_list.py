"""Which list of a shared database is a folder's: its own, or one that several folders share by a name that was given.

Folders called CT, new or 2026-11 are on every computer, so no list is named after its folder: what one ward signed
would count as signed in another. Without a name, a list is of this computer and this folder alone. Whoever wants to
share one, where other computers see the folder at another path, gives it a name, here and there.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from napari_covseg.review.reader_names import one_line

NAME_VARIABLE = "COVSEG_WORKLIST_NAME"
LONGEST_NAME = 200

TABLES = sa.MetaData()
_FOLDERS = sa.Table(
    "covseg_list",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("list", sa.String(1000), nullable=False),
    sa.Column("computer", sa.String(200), nullable=False),
    sa.Column("folder", sa.String(1000), nullable=False),
    sa.UniqueConstraint("list", "computer", "folder"),
)


@dataclass(frozen=True, slots=True)
class Sharer:
    """A folder whose scans are on a shared list: on which computer, and its path there."""

    computer: str
    folder: str


def given_name(name: str) -> str:
    """Return what a list is called: as given, or else by ``$COVSEG_WORKLIST_NAME``; empty for the folder's own."""
    return one_line(name or os.environ.get(NAME_VARIABLE, ""))[:LONGEST_NAME]


def own_key(folder: Path) -> str:
    """Return what stands in a shared database for the list of one folder on this computer alone."""
    return f"{platform.node()}:{folder}"


def join(engine: sa.Engine, name: str, folder: Path) -> None:
    """Write down that a folder's scans are on the list of this name.

    Raises
    ------
    ValueError
        If another folder of this computer is: the scans of one would pass for those of the other.
    """
    here = platform.node()
    for each in sharers(engine, name):
        if each.computer == here and _is_another(Path(each.folder), folder):
            raise ValueError(
                f"The list “{name}” is that of {each.folder}, another folder of this computer; give the list of "
                f"{folder} another name, in the Open tab or with {NAME_VARIABLE}."
            )
    with suppress(IntegrityError), engine.begin() as connection:  # it is written down already
        connection.execute(sa.insert(_FOLDERS).values(list=name, computer=here, folder=str(folder)))


def sharers(engine: sa.Engine, name: str) -> tuple[Sharer, ...]:
    """Return the folders whose scans are on the list of this name, by computer."""
    query = sa.select(_FOLDERS).where(_FOLDERS.c.list == name).order_by(_FOLDERS.c.computer, _FOLDERS.c.folder)
    with engine.connect() as connection:
        return tuple(Sharer(row.computer, row.folder) for row in connection.execute(query))


def _is_another(there: Path, folder: Path) -> bool:
    """Whether a folder is still there, and another one: one that was moved or mounted elsewhere is gone."""
    try:
        return not there.samefile(folder)
    except OSError:
        return False
