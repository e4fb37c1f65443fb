"""Where the patient's body is on a slice, and on which side its liver seems to lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.volume import Volume

Mask = npt.NDArray[np.bool_]

SKIN_HU, LUNG_HU = -500, -500
AIR_HU = -950
"""Air that is this thin in its median is not that of a lung: in severe emphysema less than half of one is. On ten scans
the air around the body was at −1002 or below, and lungs cut by the field of view were above −930."""
LIVER_HU = (20, 200)
PIXEL_MM = 3.0
WALL_MM = 35.0
SLICES_LOOKED_AT = 50
LUNGS_ARE_ENDING = 0.5
"""Below the slice with the most lung, one with less than this share of it shows the upper abdomen."""


@dataclass(frozen=True, slots=True)
class Side:
    """How much denser the patient's right is than her left where the upper abdomen begins.

    Parameters
    ----------
    excess
        Share of the right inside that is as dense as liver, less that of the left: −1 … 1. On ten chest scans of known
        orientation it was 0.16 … 0.48, and −0.003 once.
    slice_index
        The slice in the middle of those that were looked at.
    """

    excess: float
    slice_index: int


def coarse(plane: npt.NDArray[np.floating | np.integer], spacing_mm: float) -> tuple[npt.NDArray[np.float32], int]:
    """Return a slice (H, W) averaged to pixels of about 3 mm, and how many of its own each of them spans."""
    step = max(1, round(PIXEL_MM / spacing_mm))
    smooth: npt.NDArray[np.float32] = ndimage.uniform_filter(plane.astype(np.float32), step)
    return smooth[step // 2 :: step, step // 2 :: step], step


def body(plane: npt.NDArray[np.float32]) -> Mask:
    """Return the largest thing on a slice that is not the air around it, with the air inside; nothing where all is air.

    A lung that the field of view cuts reaches the edge of the slice, too: it is told from the air around the body by
    its density.
    """
    parts, count = ndimage.label(~_around(plane))
    if not count:
        return np.zeros(plane.shape, dtype=np.bool_)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest: Mask = parts == sizes.argmax()
    return largest


def _around(plane: npt.NDArray[np.float32]) -> Mask:
    """Return the air that reaches the edge of a slice and is as thin as air."""
    parts, count = ndimage.label(plane <= SKIN_HU)
    edges = (parts[0], parts[-1], parts[:, 0], parts[:, -1])
    at_edge = [number for number in np.unique(np.concatenate(edges)).tolist() if number]
    medians = ndimage.median(plane, parts, at_edge) if at_edge else []
    is_around = np.zeros(count + 1, dtype=np.bool_)
    is_around[at_edge] = np.asarray(medians) <= AIR_HU
    around: Mask = is_around[parts]
    return around


def liver_side(scan: Volume) -> Side | None:
    """Return on which side the liver seems to lie; None where the scan does not reach down to it.

    Parameters
    ----------
    scan
        In reading order: columns grow to the patient's left.
    """
    depth = scan.geometry.shape[0]
    spacing_mm = scan.geometry.spacing_mm[1]
    indices = range(0, depth, max(1, depth // SLICES_LOOKED_AT))
    looks = [(index, *_sides(*coarse(scan.hu[index], spacing_mm), spacing_mm)) for index in indices]
    lung = np.array([share for _, share, _ in looks])
    if lung.max() < 0.05:
        return None
    below = [
        (index, excess)
        for at, (index, share, excess) in enumerate(looks)
        if at > lung.argmax() and share < LUNGS_ARE_ENDING * lung.max() and excess is not None
    ]
    if not below:
        return None
    return Side(float(np.mean([excess for _, excess in below])), below[len(below) // 2][0])


def _sides(plane: npt.NDArray[np.float32], step: int, spacing_mm: float) -> tuple[float, float | None]:
    """Return the share of lung in the body, and how much denser its right half is inside; None without a body."""
    inside = body(plane)
    if not inside.any():
        return 0.0, None
    lung = float((inside & (plane < LUNG_HU)).sum() / inside.sum())
    inner = ndimage.binary_erosion(inside, iterations=max(1, int(WALL_MM / (step * spacing_mm))))
    columns = np.flatnonzero(inside.any(axis=0))
    middle = (int(columns[0]) + int(columns[-1]) + 1) // 2
    dense = (plane > LIVER_HU[0]) & (plane < LIVER_HU[1])
    right, left = dense[:, :middle][inner[:, :middle]], dense[:, middle:][inner[:, middle:]]
    return lung, float(right.mean() - left.mean()) if right.size and left.size else None
