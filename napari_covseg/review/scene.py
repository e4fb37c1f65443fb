"""What a tool works on: the label map as it stands, the scan under it, the lungs, and how far the tool may reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_covseg.review.correction import Box, Correction, Labels, difference
from napari_covseg.review.words import slices_named
from napari_covseg.volume import LESIONS, Volume

Mask = npt.NDArray[np.bool_]
Place = tuple[int, int, int]

TITLES = {0: "background"} | {each.value: each.title.lower() for each in LESIONS}

DRAW_LUNGS = "CHS-Net, COVID-SegNet or Two-stream SegNet"
"""The networks that tell where the lungs are."""

NO_LUNGS = (
    f"Nobody has drawn the lungs here; segment with a network that does ({DRAW_LUNGS}), or switch “In lungs” off."
)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A label map over its scan. A tool reads it and returns a `Correction`; it never writes.

    Parameters
    ----------
    labels
        (D, H, W) uint8 in reading order; axis 0 counts slices from the apex.
    scan
        On the same grid.
    lung
        (D, H, W) bool, the aerated lungs; None where nobody knows them.
    region
        How far a tool may reach: a box, thin along one axis for work on one slice.

    Raises
    ------
    ValueError
        If the shapes differ.
    """

    labels: Labels
    scan: Volume
    lung: Mask | None = None
    region: Box | None = None

    def __post_init__(self) -> None:
        for other in (self.scan.hu, self.labels if self.lung is None else self.lung):
            if other.shape != self.labels.shape:
                raise ValueError(f"The labels are {self.labels.shape}, and what they lie on is {other.shape}.")

    @property
    def reach(self) -> Box:
        """The region; the whole scan where none is set."""
        if self.region is not None:
            return self.region
        i, j, k = (slice(0, n) for n in self.labels.shape)
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each axis."""
        return self.scan.geometry.spacing_mm

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel."""
        return self.scan.geometry.voxel_ml * 1000.0

    def on_slice(self, index: int, axis: int = 0) -> Scene:
        """Return the scene whose reach is one slice: axial along axis 0, coronal 1, sagittal 2.

        Raises
        ------
        ValueError
            If there is no such slice.
        """
        count = self.labels.shape[axis]
        if not 0 <= index < count:
            raise ValueError(f"There is no slice {index + 1}; the scan has {count}.")
        spans = [slice(index, index + 1) if a == axis else slice(0, n) for a, n in enumerate(self.labels.shape)]
        return replace(self, region=(spans[0], spans[1], spans[2]))

    def box_around(self, place: Place, margin_voxels: Sequence[int]) -> Box:
        """Return the box within these margins of a place, cut at the reach."""
        return _box(
            (max(span.start, p - m), min(span.stop, p + m + 1))
            for span, p, m in zip(self.reach, place, margin_voxels, strict=True)
        )

    def box_of(self, values: Sequence[int] = (), margin_voxels: int = 0) -> Box | None:
        """Return the smallest box in reach around these classes, or any class; None where there is none."""
        labels = self.labels[self.reach]
        mask = np.isin(labels, values) if values else labels != 0
        return box_of(mask, self.reach, margin_voxels)

    def checked(self, place: Place) -> Place:
        """Return a place.

        Raises
        ------
        ValueError
            If it is outside the reach.
        """
        if all(span.start <= p < span.stop for span, p in zip(self.reach, place, strict=True)):
            return place
        raise ValueError("That place is outside the scan; point at the picture.")

    def lungs_in(self, box: Box) -> Mask:
        """Return the aerated lungs in a box.

        Raises
        ------
        ValueError
            If nobody knows them.
        """
        if self.lung is None:
            raise ValueError(NO_LUNGS)
        return self.lung[box]

    def correction(self, box: Box, after: Labels, tool: str, title: str, note: str = "") -> Correction | None:
        """Return the correction that puts `after` into a box of the label map; None where nothing differs."""
        found = difference(self.labels[box], after, tool, title, first_slice=box[0].start)
        if found is None:
            return None
        first, row, column = found.start
        found = replace(found, start=(first, row + box[1].start, column + box[2].start))
        return replace(found, title=f"{title} on {slices_named(found.slices)}{note}")


def box_of(mask: Mask, around: Box, margin_voxels: int = 0) -> Box | None:
    """Return the smallest box of a mask in the array of `around`, wider by a margin but not past `around`."""
    in_slices = np.asarray(mask.reshape(len(mask), -1).any(axis=1))
    if not in_slices.any():
        return None
    first, last = int(in_slices.argmax()), len(mask) - int(in_slices[::-1].argmax())
    plane = np.asarray(mask[first:last].any(axis=0))
    spans = [(first, last)]
    for axis in (1, 0):
        found = np.flatnonzero(plane.any(axis=axis))
        spans.append((int(found[0]), int(found[-1]) + 1))
    return _box(
        (max(a.start, a.start + low - margin_voxels), min(a.stop, a.start + high + margin_voxels))
        for a, (low, high) in zip(around, spans, strict=True)
    )


def _box(spans: Any) -> Box:
    i, j, k = (slice(int(low), int(high)) for low, high in spans)
    return i, j, k
