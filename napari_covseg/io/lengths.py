"""Whether the lengths of a scan can be those of a chest CT."""

from __future__ import annotations

import numpy as np

from napari_covseg.io.stated import is_spacing
from napari_covseg.volume import Volume

FARTHEST_MM = 10_000
"""No scan is further from the origin of its scanner."""

FINEST_MM = 0.12
"""No scanner resolves less; a pixel of 0.7 mm that lost a digit is smaller."""

FARTHEST_APART_MM = 25.0
LARGEST_MM = 1000.0
"""No field of view is wider; only the table goes further."""

LONGEST_MM = 2500.0

SQUARE = 1e-3
"""A CT's pixels are as wide as they are high, but for the digits that a converter drops."""

COARSER = 2.0
"""Pixels this many times larger than slices are apart are those of no chest CT."""


def of_a_scan(scan: Volume, name: str) -> Volume:
    """Return the scan; its notes tell whether its lengths are hardly those of a chest CT.

    Raises
    ------
    ValueError
        If they are those of no CT at all.
    """
    spacing_mm = scan.geometry.spacing_mm
    shown = " × ".join(f"{mm:.4g}" for mm in spacing_mm)
    if not is_spacing(spacing_mm):
        raise ValueError(f"{name} has voxels of {shown} mm, which no CT has; convert it again with lengths in mm.")
    away_mm = float(np.abs(scan.geometry.corners_mm()).max())
    if away_mm > FARTHEST_MM:
        raise ValueError(f"{name} lies {away_mm:.3g} mm away from its scanner: its header is damaged; copy it again.")
    extent_mm = [mm * n for mm, n in zip(spacing_mm, scan.geometry.shape, strict=True)]
    _, middle_mm, longest_mm = sorted(extent_mm)
    is_odd_voxel = min(spacing_mm) < FINEST_MM or max(spacing_mm) > FARTHEST_APART_MM
    if is_odd_voxel or middle_mm > LARGEST_MM or longest_mm > LONGEST_MM:
        size = " × ".join(f"{mm:.0f}" for mm in extent_mm)
        scan = scan.noted(
            f"{name} has voxels of {shown} mm and is {size} mm large, as hardly a chest CT is; check its lengths "
            "before you measure."
        )
    if _has_square_pixels(spacing_mm):
        return scan
    return scan.noted(
        f"{name} has voxels of {shown} mm, but a CT's pixels are square; check its lengths before you measure."
    )


def _has_square_pixels(spacing_mm: tuple[float, float, float]) -> bool:
    """Whether two of three lengths are alike, and not far above the third."""
    small, middle, large = sorted(spacing_mm)
    if middle - small <= SQUARE * middle:
        return True
    return large - middle <= SQUARE * large and large <= COARSER * small
