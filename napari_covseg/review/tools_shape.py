"""The shape of lesions: islands, holes, ragged edges, the largest piece."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from napari_covseg.jobs import Job, drain
from napari_covseg.review.components import BY_CORNERS, BY_FACES, spread
from napari_covseg.review.correction import Correction, Labels
from napari_covseg.review.outline import ROUNDING, TRUNCATE, Kernel, sight_of, smoothed
from napari_covseg.review.scene import TITLES, Scene

HIGHEST = max(TITLES)


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
    at, numbers = spread(before != 0, BY_CORNERS)
    is_small = np.bincount(numbers) * scene.voxel_mm3 < below_mm3 * (1 - ROUNDING)
    after = _without(before, at[is_small[numbers]])
    return scene.correction(box, after, "islands", f"remove islands below {below_mm3:g} mm³")


def keep_largest(scene: Scene, value: int) -> Correction | None:
    """Erase all of a class but its largest component, by faces, edges and corners."""
    box = scene.box_of([value])
    if box is None:
        return None
    before = scene.labels[box]
    at, numbers = spread(before == value, BY_CORNERS)
    largest = 1 + int(np.bincount(numbers)[1:].argmax())
    after = _without(before, at[numbers != largest])
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
    at, numbers = spread(before == 0, BY_FACES, enclosed=True)
    if up_to_mm3 is not None:
        is_small = np.bincount(numbers) * scene.voxel_mm3 <= up_to_mm3 * (1 + ROUNDING)
        at, numbers = at[is_small[numbers]], numbers[is_small[numbers]]
    if not len(at):
        return None
    after = before.copy()
    after.ravel()[at] = _classes_around(before, at, numbers, scene.spacing_mm)
    return scene.correction(box, after, "holes", "fill holes")


def smooth(scene: Scene, size_mm: float, kind: Kernel = "median") -> Correction | None:
    """Smooth at once; see `smoothing`."""
    return drain(smoothing(scene, size_mm, kind))


def smoothing(scene: Scene, size_mm: float, kind: Kernel = "median") -> Job[Correction | None]:
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
    after = yield from smoothed(before, sight_of(kind, size_mm, before.shape, scene.spacing_mm))
    return scene.correction(box, after, "smooth", f"smooth ({kind}, {size_mm:g} mm)")


def _without(before: Labels, at: npt.NDArray[np.intp]) -> Labels:
    """Return labels without those at flat indices."""
    after = before.copy()
    after.ravel()[at] = 0
    return after


def _classes_around(
    before: Labels, at: npt.NDArray[np.intp], numbers: npt.NDArray[np.uint32], spacing_mm: tuple[float, float, float]
) -> npt.NDArray[np.uint8]:
    """Return for every voxel of a hole the class that shares most of the hole's surface, of equals the lower.

    Parameters
    ----------
    before
        The labels.
    at, numbers
        Where the holes' voxels are in the flat array, and the number of each one's hole.
    spacing_mm
        Of the labels.
    """
    places = np.unravel_index(at, before.shape)
    names, owners = np.unique(numbers, return_inverse=True)
    shares_mm2: npt.NDArray[np.float64] = np.zeros(len(names) * (HIGHEST + 1))
    for axis, size in enumerate(before.shape):
        if size == 1:
            continue
        face_mm2 = float(np.prod(spacing_mm)) / spacing_mm[axis]
        for step in (-1, 1):
            beside = tuple(each + step * (a == axis) for a, each in enumerate(places))
            touched = owners * (HIGHEST + 1) + before[beside]
            shares_mm2 += face_mm2 * np.bincount(touched, minlength=len(shares_mm2))
    by_class_mm2 = shares_mm2.reshape(len(names), HIGHEST + 1).round(3)
    by_class_mm2[:, 0] = 0
    given: npt.NDArray[np.uint8] = by_class_mm2.argmax(axis=1).astype(np.uint8)[owners]
    return given
