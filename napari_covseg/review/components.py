"""What hangs together: components around a place or in an array, by connected-components-3d."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

from napari_covseg.review.correction import Box
from napari_covseg.review.scene import Mask, Place, Scene, box_of

BY_FACES, BY_CORNERS, IN_A_SLICE = 6, 26, 8
"""By faces alone; by faces, edges and corners; the latter in an array of two axes."""

NEAR_VOXELS = 32
"""How far around a place a component is looked for at first; the box doubles until the component ends inside it."""


def component(scene: Scene, place: Place, members: Callable[[Box], Mask], connectivity: int) -> tuple[Box, Mask] | None:
    """Return the component at a place, as a box and a mask in it; None where the place is no member.

    Parameters
    ----------
    scene
        Its reach bounds the component.
    place
        In it.
    members
        Gives, for a box, the voxels that may belong to it.
    connectivity
        `BY_FACES` or `BY_CORNERS`.
    """
    margin = NEAR_VOXELS
    while True:
        box = scene.box_around(place, (margin, margin, margin))
        mask = members(box)
        at = tuple(p - span.start for p, span in zip(place, box, strict=True))
        if not mask[at]:
            return None
        found = numbered(mask, connectivity)
        own = found == found[at]
        if not _goes_on(own, box, scene.reach):
            tight = box_of(own, box)
            assert tight is not None
            return tight, own[_inside(tight, box)]
        margin *= 2


def numbered(mask: npt.NDArray[Any], connectivity: int) -> npt.NDArray[Any]:
    """Return the components of a mask, or of each value of an array, numbered from 1."""
    # cc3d is fastest where the last axis is contiguous; with order C it numbers in reading order
    found: npt.NDArray[Any] = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=connectivity)
    return found


def _inside(box: Box, around: Box) -> Box:
    """Return a box as an index into the array of a box around it."""
    i, j, k = (slice(b.start - a.start, b.stop - a.start) for b, a in zip(box, around, strict=True))
    return i, j, k


def _goes_on(mask: Mask, box: Box, reach: Box) -> bool:
    """Whether a mask touches a side of its box that is not a side of the reach."""
    for axis, (span, limit) in enumerate(zip(box, reach, strict=True)):
        ends = ((0, span.start > limit.start), (-1, span.stop < limit.stop))
        if any(is_open and mask.take(end, axis=axis).any() for end, is_open in ends):
            return True
    return False
