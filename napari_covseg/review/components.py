"""What hangs together: components around a place or in an array, by connected-components-3d."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_covseg.review.correction import Box
from napari_covseg.review.scene import Mask, Place, Scene, box_of

BY_FACES, BY_CORNERS, IN_A_SLICE = 6, 26, 8
"""By faces alone; by faces, edges and corners; the latter in an array of two axes."""

SLAB_VOXELS = 4_000_000
"""Of an array larger than this, so much is numbered at a time: some 20 ms."""

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


def numbered(mask: npt.NDArray[Any], connectivity: int) -> npt.NDArray[np.uint32]:
    """Return the components of a mask, or of each value of an array, numbered from 1 in reading order.

    A large array is numbered slab by slab: connected-components-3d keeps Python's lock while it counts, and the window
    would stand still as long.
    """
    thick = max(1, SLAB_VOXELS // mask[0].size) if mask.ndim == 3 and mask.size else max(1, len(mask))
    slabs = [_numbered_at_once(mask[at : at + thick], connectivity) for at in range(0, len(mask), thick)]
    if len(slabs) < 2:
        return slabs[0] if slabs else np.zeros(mask.shape, dtype=np.uint32)
    offsets = np.cumsum([0, *(int(slab.max()) for slab in slabs)])
    joints = [_numbered_at_once(mask[at - 1 : at + 1], connectivity) for at in range(thick, len(mask), thick)]
    table = _merged(slabs, joints, offsets)
    own_tables = (np.concatenate([[0], table[a:b]]).astype(np.uint32) for a, b in pairwise(offsets))
    return np.concatenate([own_table[slab] for own_table, slab in zip(own_tables, slabs, strict=True)])


def _numbered_at_once(mask: npt.NDArray[Any], connectivity: int) -> npt.NDArray[np.uint32]:
    found: npt.NDArray[np.uint32] = cc3d.connected_components(
        np.ascontiguousarray(mask), connectivity=connectivity, out_dtype=np.uint32
    )
    return found


def _merged(
    slabs: Sequence[npt.NDArray[np.uint32]], joints: Sequence[npt.NDArray[np.uint32]], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint32]:
    """Return the number in the whole of every component of the slabs, one slab's after the other's.

    Parameters
    ----------
    slabs
        Each numbered for itself.
    joints
        The two slices on both sides of every joint, numbered for themselves: what hangs together there is one.
    offsets
        How many components the slabs before each have.
    """
    links, nodes = [], int(offsets[-1])
    for number, joint in enumerate(joints):
        sides = ((slabs[number][-1], offsets[number]), (slabs[number + 1][0], offsets[number + 1]))
        for across, (own, offset) in zip(joint, sides, strict=True):
            held = across > 0
            links.append(np.stack([own[held] + (offset - 1), across[held] + (np.int64(nodes) - 1)]))
        nodes += int(joint.max())
    rows, columns = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=(nodes, nodes))
    owners = connected_components(graph, directed=False)[1][: offsets[-1]]
    _, firsts, owner = np.unique(owners, return_index=True, return_inverse=True)
    ranks = np.empty(len(firsts), dtype=np.uint32)
    ranks[np.argsort(firsts)] = np.arange(1, len(firsts) + 1)
    return ranks[owner]


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
