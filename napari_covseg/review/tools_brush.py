"""The brushes: what a stroke paints or erases, bounded by Hounsfield units and by the lungs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

import numpy as np
import numpy.typing as npt

from napari_covseg.review.correction import Box, Correction
from napari_covseg.review.hu_range import HuRange, smoothed_hu
from napari_covseg.review.scene import Mask, Place, Scene
from napari_covseg.volume import LESIONS

EFFUSION = LESIONS["effusion"].value
EDGE_MM2 = 1e-6
"""What rounding may do to a squared distance; the edge of a brush belongs to it."""


@dataclass(frozen=True, slots=True)
class Tip:
    """A brush.

    Parameters
    ----------
    value
        The class it paints; 0 erases.
    diameter_mm
        Of the disc on one slice, of the ball in three dimensions; its edge belongs to it.
    hu_range
        It reaches only voxels that lie in it on the lightly smoothed scan; all without.
    in_lungs
        It paints only in the aerated lungs. Effusion lies outside them and is never clipped.
    over_classes
        Whether it paints over other classes.
    """

    value: int
    diameter_mm: float
    hu_range: HuRange | None = None
    in_lungs: bool = False
    over_classes: bool = True

    @property
    def name(self) -> str:
        """What the reader calls it."""
        if self.value == 0:
            return "range eraser" if self.hu_range else "eraser"
        bounded = "lung brush" if self.in_lungs and self.value != EFFUSION else "brush"
        return f"HU {bounded}" if self.hu_range else bounded


def stroke(scene: Scene, path: Sequence[Place], tip: Tip) -> Correction | None:
    """Paint or erase along a path of places, on one slice or with a ball.

    Parameters
    ----------
    scene
        Its reach decides: one slice, or three dimensions.
    path
        At least one place; straight between each and the next.
    tip
        The brush.

    Raises
    ------
    ValueError
        If the brush is bounded by lungs that nobody has drawn.
    """
    box = _box_of(scene, path, tip.diameter_mm)
    if any(span.stop <= span.start for span in box):
        return None
    reached = _swept(scene, path, tip.diameter_mm, box) & reachable(scene, tip, box)
    before = scene.labels[box]
    return scene.correction(box, np.where(reached, np.uint8(tip.value), before), tip.name, tip.name)


def why_nothing(scene: Scene, place: Place, tip: Tip) -> str:
    """Return, in words, what kept a brush from every voxel under it; empty where nothing did."""
    box = _box_of(scene, [place], tip.diameter_mm)
    if any(span.stop <= span.start for span in box):
        return ""
    under = _swept(scene, [place], tip.diameter_mm, box)
    if tip.hu_range is not None and not (under & reachable(scene, replace(tip, in_lungs=False, value=0), box)).any():
        return f"Nothing under the brush lies in {tip.hu_range}; widen the range in Review, or paint without it (T)."
    if not (under & reachable(scene, replace(tip, over_classes=True), box)).any():
        where = f"in the lungs within {tip.hu_range}" if tip.hu_range else "in the lungs"
        return f"Nothing under the brush lies {where}; paint without the lungs as its bound."
    return "" if (under & reachable(scene, tip, box)).any() else "Under the brush are other classes, which it spares."


def reachable(scene: Scene, tip: Tip, box: Box) -> Mask:
    """Return the voxels of a box that a brush may change, wherever it is moved.

    Raises
    ------
    ValueError
        If the brush is bounded by lungs that nobody has drawn.
    """
    before = scene.labels[box]
    reached = np.ones(before.shape, dtype=bool)
    if tip.hu_range is not None:
        reached &= tip.hu_range.holds(smoothed_hu(scene.scan, box))
    if tip.in_lungs and tip.value not in (0, EFFUSION):
        reached &= scene.lungs_in(box)
    if tip.value and not tip.over_classes:
        reached &= (before == 0) | (before == tip.value)
    return reached


def _box_of(scene: Scene, path: Sequence[Place], diameter_mm: float) -> Box:
    margins = [ceil(diameter_mm / 2 / mm) for mm in scene.spacing_mm]
    spans = [
        slice(max(limit.start, min(along) - margin), min(limit.stop, max(along) + margin + 1))
        for limit, along, margin in zip(scene.reach, zip(*path, strict=True), margins, strict=True)
    ]
    return spans[0], spans[1], spans[2]


def _swept(scene: Scene, path: Sequence[Place], diameter_mm: float, box: Box) -> Mask:
    """Return the voxels whose centre is within half a diameter of the path."""
    swept = np.zeros([span.stop - span.start for span in box], dtype=bool)
    pairs = list(pairwise(path)) or [(path[0], path[0])]
    for start, end in pairs:
        part = _box_of(scene, (start, end), diameter_mm)
        if all(span.stop > span.start for span in part):
            squared_mm2 = _squared_distance_mm2(scene, start, end, part)
            within = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, box, strict=True))
            swept[within] |= squared_mm2 <= (diameter_mm / 2) ** 2 + EDGE_MM2
    return swept


def _squared_distance_mm2(scene: Scene, start: Place, end: Place, box: Box) -> npt.NDArray[np.float64]:
    """Return each voxel's squared distance from the straight line between two places."""
    spacing_mm = np.array(scene.spacing_mm)
    away = [(np.arange(span.start, span.stop) - a) * mm for span, a, mm in zip(box, start, spacing_mm, strict=True)]
    grid = np.ix_(*away)
    line = np.subtract(end, start) * spacing_mm
    squared_length = float(line @ line)
    if squared_length == 0:
        still: npt.NDArray[np.float64] = grid[0] ** 2 + grid[1] ** 2 + grid[2] ** 2
        return still
    along = np.clip(sum(g * c for g, c in zip(grid, line, strict=True)) / squared_length, 0, 1)
    found: npt.NDArray[np.float64] = sum((g - along * c) ** 2 for g, c in zip(grid, line, strict=True))
    return found
