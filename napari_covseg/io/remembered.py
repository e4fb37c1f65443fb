"""What the window remembers from one day to the next: scans that were open last, networks worked with, the tour."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from napari_covseg.io.files import written
from napari_covseg.io.stated import NOTHING, Stated

FILE_NAME = "window.json"
MOST_RECENT = 8


@dataclass(frozen=True, slots=True)
class Recent:
    """A scan that was open: where it is, what it is called, and what the reader stated about it."""

    path: Path
    name: str
    stated: Stated = NOTHING


@dataclass(frozen=True, slots=True)
class Remembered:
    """What there is to remember.

    Parameters
    ----------
    recent
        The scan that was open last comes first.
    tour_taken
        Whether the tour was taken.
    worklist
        The folder of the worklist.
    network
        The network that was worked with last.
    checkpoints
        SHA-256 of the checkpoint that was chosen of a network, by its key.
    reader
        Who reads, as she typed her name; empty for the account's.
    list_names
        The name under which the worklist of a folder is shared, by the folder's path.
    """

    recent: tuple[Recent, ...] = ()
    tour_taken: bool = False
    worklist: Path | None = None
    network: str = ""
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    reader: str = ""
    list_names: Mapping[str, str] = field(default_factory=dict)

    def opened(self, scan: Recent) -> Remembered:
        """Return the same with a scan at the head of the list."""
        others = tuple(each for each in self.recent if each.path != scan.path)
        return replace(self, recent=(scan, *others)[:MOST_RECENT])

    def listed(self, folder: Path, name: str) -> Remembered:
        """Return the same with the worklist of a folder, and its name where it was given one."""
        others = {each: known for each, known in self.list_names.items() if each != str(folder)}
        return replace(self, worklist=folder, list_names=others | ({str(folder): name} if name else {}))


def remembered(folder: Path) -> Remembered:
    """Return what is remembered in the reader's folder; nothing where that cannot be read."""
    with suppress(OSError, ValidationError, ValueError):
        return TypeAdapter(Remembered).validate_json((folder / FILE_NAME).read_text("utf-8"))
    return Remembered()


def remember(folder: Path, what: Remembered) -> None:
    """Keep it in the reader's folder.

    Raises
    ------
    OSError
        If that cannot be written.
    """
    with written(folder / FILE_NAME) as draft:
        draft.write_text(json.dumps(asdict(what), default=str), "utf-8")
