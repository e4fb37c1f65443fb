"""Outlines of labels, found about twenty times faster than napari does, which looks for them at every scroll."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

Plane = npt.NDArray[np.uint8]


def outline(layer: Labels, voxels: int) -> None:
    """Show a layer's outlines alone, so many voxels wide; in 3-D, where there are none, the labels are shown whole."""

    def calculated(labels: Plane, part: tuple[slice, ...]) -> Plane | None:
        width = int(layer.contour)
        return outlined(labels, width)[part] if width >= 1 and labels.ndim == 2 else None

    layer._calculate_contour = calculated  # napari offers no other way in
    layer.contour = voxels


def outlined(labels: Plane, width: int) -> Plane:
    """Return the labels of a slice (H, W) with everything taken out that is not within `width` voxels of another one.

    Alike to the voxel with what napari draws: of two classes that touch, the higher one has the wider line.
    """
    drawn = np.zeros_like(labels)
    rows, columns = _held(labels)
    if rows.stop == 0:
        return drawn
    around = tuple(slice(max(0, each.start - width), each.stop + width) for each in (rows, columns))
    part = labels[around]
    lowest = part
    for _ in range(width):
        lowest = _across(lowest, np.minimum)
    drawn[around] = np.where(_across(part, np.maximum) == lowest, 0, part)
    return drawn


def _held(labels: Plane) -> tuple[slice, slice]:
    """Return the rows and columns between which a slice holds anything."""
    found = (np.flatnonzero(labels.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(0, 0) for at in found)
    return rows, columns


def _across(plane: Plane, chosen: Any) -> Plane:
    """Return the lowest or highest of every voxel and the four beside it."""
    found = plane.copy()
    chosen(found[1:], plane[:-1], out=found[1:])
    chosen(found[:-1], plane[1:], out=found[:-1])
    chosen(found[:, 1:], plane[:, :-1], out=found[:, 1:])
    chosen(found[:, :-1], plane[:, 1:], out=found[:, :-1])
    return found
