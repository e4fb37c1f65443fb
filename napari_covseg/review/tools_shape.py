"""The shape of lesions: islands, holes, ragged edges, the largest piece."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.review.components import BY_CORNERS, BY_FACES, numbered
from napari_covseg.review.correction import Correction, Labels
from napari_covseg.review.scene import TITLES, Mask, Scene

ROUNDING = 1e-5
HIGHEST = max(TITLES)
TRUNCATE = 3.0

Kernel = Literal["median", "gaussian"]


def remove_islands(scene: Scene, below_mm3: float) -> Correction | None:
    """Erase every lesion smaller than a volume; classes that touch are one lesion.

    Parameters
    ----------
    scene
        Its reach decides; on one slice, what counts is the volume on this slice.
    below_mm3
        A lesion of exactly this volume stays.
    """
    box = scene.box_of()
    if box is None:
        return None
    before = scene.labels[box]
    found = numbered(before != 0, BY_CORNERS)
    is_small = np.bincount(found.ravel()) * scene.voxel_mm3 < below_mm3 * (1 - ROUNDING)
    after = np.where(is_small[found], np.uint8(0), before)
    return scene.correction(box, after, "islands", f"remove islands below {below_mm3:g} mm³")


def keep_largest(scene: Scene, value: int) -> Correction | None:
    """Erase all of a class but its largest component, by faces, edges and corners."""
    box = scene.box_of([value])
    if box is None:
        return None
    before = scene.labels[box]
    found = numbered(before == value, BY_CORNERS)
    largest = 1 + int(np.bincount(found.ravel())[1:].argmax())
    after = np.where((found > 0) & (found != largest), np.uint8(0), before)
    return scene.correction(box, after, "largest", f"keep the largest {TITLES[value]}")


def fill_holes(scene: Scene, up_to_mm3: float | None = None) -> Correction | None:
    """Fill background that lesions enclose: each hole with the class that shares most of its surface.

    Parameters
    ----------
    scene
        Its reach decides: enclosed on one slice, or in three dimensions. What reaches the scan's edge is open.
    up_to_mm3
        Larger holes stay; none do without.
    """
    box = scene.box_of(margin_voxels=1)
    if box is None:
        return None
    before = scene.labels[box]
    holes = numbered(before == 0, BY_FACES)
    voxels = np.bincount(holes.ravel())
    closed = voxels > 0
    closed[np.unique(np.concatenate([side.ravel() for side in _sides(holes)]))] = False
    closed[0] = False
    if up_to_mm3 is not None:
        closed &= voxels * scene.voxel_mm3 <= up_to_mm3 * (1 + ROUNDING)
    if not closed.any():
        return None
    gives = _classes_around(before, holes, closed, scene.spacing_mm)
    return scene.correction(box, before + gives[holes], "holes", "fill holes")


def smooth(scene: Scene, size_mm: float, kind: Kernel = "median") -> Correction | None:
    """Smooth the outline of all lesions; the border between two classes never moves.

    A voxel stays or becomes lesion where more than half of what the kernel sees is lesion. A lesion voxel keeps its
    class; a new one takes the class that weighs most there.

    Parameters
    ----------
    scene
        Its reach decides: within one slice, or in three dimensions.
    size_mm
        Radius of the median's ball, or the Gaussian's standard deviation.
    kind
        Which kernel.

    Raises
    ------
    ValueError
        If the size is not above 0.
    """
    if size_mm <= 0:
        raise ValueError("Smoothing needs a size above 0 mm.")
    reach_mm = size_mm if kind == "median" else TRUNCATE * size_mm
    box = scene.box_of(margin_voxels=ceil(reach_mm / min(scene.spacing_mm)) + 1)
    if box is None:
        return None
    before = scene.labels[box]
    share, heaviest = np.zeros(before.shape, np.float32), np.zeros(before.shape, np.float32)
    classes = np.zeros(before.shape, np.uint8)
    for value in np.unique(before[before > 0]):
        field = _blurred(before == value, scene.spacing_mm, size_mm, kind)
        share += field
        classes[field > heaviest] = value
        np.maximum(heaviest, field, out=heaviest)
    after = np.where(share > 0.5 + ROUNDING, np.where(before > 0, before, classes), np.uint8(0))
    return scene.correction(box, after, "smooth", f"smooth ({kind}, {size_mm:g} mm)")


def _sides(holes: npt.NDArray[np.uint32]) -> Iterator[npt.NDArray[Any]]:
    """Yield the outer faces of a box; on one slice, what lies above and below is not looked at."""
    for axis, size in enumerate(holes.shape):
        if size > 1:
            yield np.take(holes, [0], axis=axis)
            yield np.take(holes, [-1], axis=axis)


def _classes_around(
    before: Labels, holes: npt.NDArray[np.uint32], closed: Mask, spacing_mm: tuple[float, float, float]
) -> npt.NDArray[np.uint8]:
    """Return for every hole the class that shares most of its surface, of equals the lower; 0 where it is open."""
    places = np.nonzero(closed[holes])
    numbers = holes[places].astype(np.int64)
    shares_mm2: npt.NDArray[np.float64] = np.zeros(len(closed) * (HIGHEST + 1))
    for axis, size in enumerate(before.shape):
        if size == 1:
            continue
        face_mm2 = float(np.prod(spacing_mm)) / spacing_mm[axis]
        for step in (-1, 1):
            beside = tuple(each + step * (a == axis) for a, each in enumerate(places))
            touched = numbers * (HIGHEST + 1) + before[beside]
            shares_mm2 += face_mm2 * np.bincount(touched, minlength=len(shares_mm2))
    by_class_mm2 = shares_mm2.reshape(len(closed), HIGHEST + 1).round(3)
    by_class_mm2[:, 0] = 0
    return np.where(closed, by_class_mm2.argmax(axis=1), 0).astype(np.uint8)


def _blurred(
    mask: Mask, spacing_mm: tuple[float, float, float], size_mm: float, kind: Kernel
) -> npt.NDArray[np.float32]:
    """Return which share of what the kernel sees is in the mask; beyond the scan's edge its last voxels go on."""
    axes = [axis for axis, size in enumerate(mask.shape) if size > 1]
    found: npt.NDArray[np.float32]
    if kind == "gaussian":
        sigmas = [size_mm / spacing_mm[axis] for axis in axes]
        found = ndimage.gaussian_filter(mask, sigmas, axes=axes, output=np.float32, truncate=TRUNCATE, mode="nearest")
        return found
    reaches = [int(size_mm / mm + ROUNDING) if axis in axes else 0 for axis, mm in enumerate(spacing_mm)]
    away = [(np.arange(-n, n + 1) * mm) ** 2 for n, mm in zip(reaches, spacing_mm, strict=True)]
    i, j, k = np.ix_(*away)
    ball = (i + j + k <= size_mm**2 * (1 + ROUNDING)).astype(np.uint8)
    seen = ndimage.correlate(mask.astype(np.uint8), ball, output=np.uint16, mode="nearest")
    found = seen / np.float32(ball.sum())
    return found
