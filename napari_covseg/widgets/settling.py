"""What differs between the painted array and the session, and whether it can be taken in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_covseg.review.correction import Labels
from napari_covseg.volume import LESIONS

VALUES = frozenset(each.value for each in LESIONS)
FOREIGN = 255


def in_bytes(values: npt.NDArray[Any]) -> Labels:
    """Return labels of any type as uint8; what does not fit, negative ones too, becomes a label that is refused."""
    fits = (values >= 0) & (values < FOREIGN)
    labels: Labels = np.where(fits, values, FOREIGN).astype(np.uint8)
    return labels


def no_class(label: int | str) -> str:
    """Return why a label cannot be painted."""
    return f"There is no class {label}; the classes are {', '.join(each.title for each in LESIONS)}."


def refuse_foreign(values: Labels) -> None:
    """Refuse labels that are no class, which some of napari's own keys can paint.

    Raises
    ------
    ValueError
        If there are any.
    """
    highest = int(values.max())
    if highest == FOREIGN:
        raise ValueError(f"{no_class('outside 0–254')} The layer was put back as it was.")
    if highest > max(VALUES):
        raise ValueError(f"{no_class(highest)} The stroke was taken back.")


def changed_slices(before: Labels, after: Labels) -> tuple[int, int] | None:
    """Return first and one past the last slice that differ; eight voxels at a time, where that goes up evenly."""
    depth = len(before)
    words = np.uint64 if before[0].size % 8 == 0 else np.uint8
    old, new = before.reshape(depth, -1).view(words), after.reshape(depth, -1).view(words)
    changed = [index for index in range(depth) if not np.array_equal(old[index], new[index])]
    return (changed[0], changed[-1] + 1) if changed else None
