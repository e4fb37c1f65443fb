"""What the networks proposed before the reader changed it, and what she changed: the view before and after."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

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


def proposed(labels: Labels, corrections: Iterable[Correction]) -> Labels | None:
    """Return the label map as the networks proposed it: every slice as it was when a network last wrote on it.

    Slices on which no network ever wrote are as they were before all these corrections.

    Parameters
    ----------
    labels
        (D, H, W) uint8, as it stands.
    corrections
        What made it so, the newest first; as far back as is known.

    Returns
    -------
    Labels or None
        None where no network wrote anything.
    """
    before = labels.copy()
    found = np.zeros(len(labels), dtype=bool)
    for correction in corrections:
        slices = np.arange(correction.slices.start, correction.slices.stop)
        if correction.tool == NETWORK_TOOL:
            found[slices] = True
            continue
        open_ = ~found[slices]
        _, rows, columns = correction.box
        before[slices[open_], rows, columns] = correction.before[open_]
    return before if found.any() else None


def changes(proposal: Labels, current: Labels) -> Labels:
    """Return where two label maps differ, (D, H, W) uint8 in the classes of `CHANGES`."""
    found = np.zeros_like(current)
    for index, (old, new) in enumerate(zip(proposal, current, strict=True)):
        if not np.array_equal(old, new):
            found[index] = np.select([old == new, old == 0, new == 0], [0, 1, 2], 3)
    return found
