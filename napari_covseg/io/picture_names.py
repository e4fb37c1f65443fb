"""What the names of the pictures of a folder say: their order, which are no slices, and which are missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from napari_covseg.io.files import PICTURE_SUFFIXES, stem_of

LABEL_ENDINGS = ("_lesion", "_lung", "_label", "_labels", "_mask", "_seg", "_segmentation", "_disagreement")
"""Files so named lie beside scans and are none."""


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def is_named_labels(path: Path) -> bool:
    """Whether a file's name is that of a label map."""
    return stem_of(path).lower().endswith(LABEL_ENDINGS)


def slices_in(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Return the slices of a folder of pictures in the order of the numbers in their names, and what is odd there.

    Raises
    ------
    ValueError
        If all its pictures are label maps by their names, or they are of several scans.
    """
    found = [path for path in folder.iterdir() if path.is_file() and is_picture(path) and path.name[0] != "."]
    found.sort(key=_numbered)
    slices = [path for path in found if not is_named_labels(path)]
    labels = [path for path in found if path not in slices]
    if not slices:
        raise ValueError(f"{folder.name} holds label maps ({labels[0].name}) and no slices; choose the scan's folder.")
    _refuse_several_scans(folder.name, slices)
    notes = _missing(folder.name, slices)
    if labels:
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        notes += (f"Label maps beside the slices were left out: {labels[0].name}{more}.",)
    return slices, notes


def _numbered(path: Path) -> list[int | str]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", path.name)]


def _refuse_several_scans(name: str, slices: Sequence[Path]) -> None:
    """Refuse names that begin in several ways, each of which several numbers follow: as of several patients."""
    parts = [_numbered(path) for path in slices]
    differing = next((at for at, column in enumerate(zip(*parts, strict=False)) if len(set(column)) > 1), None)
    if differing is None:
        return
    after: dict[int | str, set[int | str]] = {}
    for each in parts:
        after.setdefault(each[differing], set()).update(part for part in each[differing + 1 :] if isinstance(part, int))
    if any(len(numbers) > 1 for numbers in after.values()) and len(after) > 1:
        raise ValueError(
            f"{name} holds pictures whose names begin in {len(after)} ways, as of several patients; put the slices of "
            "each scan into a folder of its own."
        )


def _missing(name: str, slices: Sequence[Path]) -> tuple[str, ...]:
    """Return a sentence where the one number that tells the names apart does not grow evenly."""
    parts = [_numbered(path) for path in slices]
    if len({len(each) for each in parts}) > 1:
        return ()
    differing = [column for column in zip(*parts, strict=True) if len(set(column)) > 1]
    if len(differing) != 1:
        return ()
    numbers = [each for each in differing[0] if isinstance(each, int)]
    steps = [two - one for one, two in pairwise(numbers)]
    if len(set(steps)) <= 1:
        return ()
    at = next(one for one, step in zip(numbers, steps, strict=False) if step > min(steps))
    return (f"The numbers of the pictures of {name} have a hole after {at}: slices may be missing there.",)
