"""A change to a label map, as a value with an inverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_covseg.review import runs
from napari_covseg.volume import Provenance

Labels = npt.NDArray[np.uint8]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """A box of a label map, before and after.

    Parameters
    ----------
    start
        First index of the box along each axis; axis 0 counts slices from the apex.
    before, after
        (D, H, W) uint8, what was there and what is there now.
    tool
        What made the change: ``brush``, ``network`` …
    title
        What the reader is told that undo would undo.
    group
        Corrections that follow each other with one group are undone together; empty for none.
    provenance
        The network and checkpoint it came from, where it came from one; the log tells them.
    """

    start: tuple[int, int, int]
    before: Labels
    after: Labels
    tool: str
    title: str
    group: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def box(self) -> Box:
        """Where it applies, as an index."""
        i, j, k = (slice(a, a + n) for a, n in zip(self.start, self.before.shape, strict=True))
        return i, j, k

    @property
    def slices(self) -> range:
        """The slices it reaches."""
        return range(self.start[0], self.start[0] + self.before.shape[0])

    @property
    def voxels_changed(self) -> int:
        """How many voxels differ."""
        return int(np.count_nonzero(self.before != self.after))

    @property
    def changed_slices(self) -> tuple[int, ...]:
        """The slices on which something differs."""
        changed = (self.before != self.after).any(axis=(1, 2))
        return tuple(index for index, differs in zip(self.slices, changed.tolist(), strict=True) if differs)

    def inverse(self) -> Correction:
        """Return the correction that takes this one back."""
        return replace(self, before=self.after, after=self.before)

    def applied_to(self, labels: Labels) -> None:
        """Write what is after into a label map.

        Raises
        ------
        ValueError
            If what is there now is not what the correction was made on; nothing is written then.
        """
        if not np.array_equal(labels[self.box], self.before):
            raise ValueError("The label map has changed since this correction was made; it was left as it is.")
        labels[self.box] = self.after

    def laid_over(self, labels: Labels) -> None:
        """Write the voxels that the reader changed into a label map, whatever was there: for a journal with holes."""
        changed = self.before != self.after
        labels[self.box][changed] = self.after[changed]

    def packed(self) -> bytes:
        """Return before and after, compressed, for the journal."""
        return runs.packed(self.before, self.after)

    @staticmethod
    def unpacked(
        packed: bytes, start: Sequence[int], shape: Sequence[int], tool: str, title: str, group: str
    ) -> Correction:
        """Return the correction that `packed` came from.

        Raises
        ------
        ValueError
            If the bytes are not those of two boxes of this shape.
        """
        before, after = runs.unpacked(packed, shape)
        return Correction((start[0], start[1], start[2]), before, after, tool, title, group)


def difference(
    before: Labels, after: Labels, tool: str, title: str, *, group: str = "", first_slice: int = 0
) -> Correction | None:
    """Return the correction that takes one label map to another of its shape, or None where they are equal.

    Parameters
    ----------
    before, after
        (D, H, W) uint8.
    tool, title, group
        See `Correction`.
    first_slice
        Index of the arrays' first slice in the label map, where they are a part of it.
    """
    changed_slices = [i for i in range(len(before)) if before[i].tobytes() != after[i].tobytes()]
    if not changed_slices:
        return None
    low, high = changed_slices[0], changed_slices[-1] + 1
    rows, columns = box_in_plane((before[low:high] != after[low:high]).any(axis=0))
    box = (slice(low, high), rows, columns)
    start = (first_slice + low, rows.start, columns.start)
    return Correction(start, before[box].copy(), after[box].copy(), tool, title, group)


def box_in_plane(plane: npt.NDArray[Any]) -> tuple[slice, slice]:
    """Return the smallest box of what is not 0 in a plane (H, W); an empty one where all is."""
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
