"""What the networks proposed, what the reader changed, and what the last network changed: the view before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from napari_covseg.review.correction import Correction, Labels
from napari_covseg.review.history import NETWORK_TOOL
from napari_covseg.volume import ClassScheme, LabelClass

CHANGES = ClassScheme(
    (
        LabelClass(1, "added", "Added", "#bef264"),
        LabelClass(2, "removed", "Taken away", "#fb923c"),
        LabelClass(3, "renamed", "Other class", "#6d28d9"),
    )
)


def proposed(
    labels: Labels, corrections: Iterable[Correction], kept: Mapping[int, Labels] | None = None
) -> Labels | None:
    """Return the label map as the networks proposed it: every slice as it was when a network last wrote on it.

    Slices on which no network ever wrote are as they were before all these corrections.

    Parameters
    ----------
    labels
        (D, H, W) uint8, as it stands.
    corrections
        What made it so, the newest first; as far back as is known.
    kept
        Slices (H, W) by index, as a network left them before all these corrections, where that is known.

    Returns
    -------
    Labels or None
        None where no network wrote anything.
    """
    before = labels.copy()
    found = np.zeros(len(labels), dtype=bool)
    for correction in corrections:
        if correction.tool == NETWORK_TOOL:
            found[list(correction.changed_slices)] = True
        _take_back(before, correction, ~found)
    for index, plane in (kept or {}).items():
        if not found[index]:
            before[index] = plane
    was_drawn = found.any() or any(plane.any() for plane in (kept or {}).values())
    return before if was_drawn else None


def last_run(labels: Labels, corrections: Iterable[Correction]) -> tuple[Labels, Labels, str] | None:
    """Return the label map before and after the last run of a network, and what the run was called.

    Parameters
    ----------
    labels
        (D, H, W) uint8, as it stands.
    corrections
        What made it so, the newest first; as far back as is known.

    Returns
    -------
    tuple or None
        None where no network ran, or the last one found every slice empty.
    """
    before, after, run = labels.copy(), None, None
    every = np.ones(len(labels), dtype=bool)
    for correction in corrections:
        if run is not None and (correction.tool != NETWORK_TOOL or not run.group or correction.group != run.group):
            break
        if run is None and correction.tool == NETWORK_TOOL:
            run, after = correction, before.copy()
        _take_back(before, correction, every)
    return None if run is None or after is None or not before.any() else (before, after, run.title)


def changes(proposal: Labels, current: Labels) -> Labels:
    """Return where two label maps differ, (D, H, W) uint8 in the classes of `CHANGES`."""
    found = np.zeros(current.shape, current.dtype)  # memory that nothing is written to costs nothing
    for index, (old, new) in enumerate(zip(proposal, current, strict=True)):
        if not np.array_equal(old, new):
            found[index] = np.select([old == new, old == 0, new == 0], [0, 1, 2], 3)
    return found


def _take_back(labels: Labels, correction: Correction, allowed: npt.NDArray[np.bool_]) -> None:
    """Write what was before a correction, on the slices of those allowed."""
    slices = np.arange(correction.slices.start, correction.slices.stop)
    open_ = allowed[slices]
    _, rows, columns = correction.box
    labels[slices[open_], rows, columns] = correction.before[open_]
