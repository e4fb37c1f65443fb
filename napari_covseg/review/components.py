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

SLAB_VOXELS = 6_000_000
"""Of an array larger than this, so much is numbered at a time: some 20 ms."""

MARGIN_VOXELS = 4
"""How much wider than what is seen of it at first the box is in which a component is looked for."""

STRIDE_VOXELS = 4
"""At the first look, every so manieth voxel of all there is is looked at."""


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
    if not members(scene.box_around(place, (0, 0, 0))).all():
        return None
    box = _first_look(scene, place, members, connectivity)
    while True:
        mask = members(box)
        at = tuple(p - span.start for p, span in zip(place, box, strict=True))
        own = connected(mask, at, connectivity)
        wider = _wider(own, box, scene.reach)
        if wider == box:
            tight = box_of(own, box)
            assert tight is not None
            return tight, own[_inside(tight, box)]
        box = wider


def connected(mask: npt.NDArray[Any], at: tuple[int, ...], connectivity: int) -> Mask:
    """Return what hangs together with a voxel of a mask."""
    slabs, tables = _slabs(mask, connectivity)
    thick = len(slabs[0])
    number = tables[at[0] // thick][slabs[at[0] // thick][at[0] % thick][at[1:]]]
    if len(slabs) == 1:
        alone: Mask = slabs[0] == number
        return alone
    own: Mask = np.zeros(mask.shape, dtype=bool)
    for first, slab, table in zip(range(0, len(mask), thick), slabs, tables, strict=True):
        if len(names := np.flatnonzero(table == number)) == 1:
            np.equal(slab, names[0], out=own[first : first + thick])
        elif len(names):
            own[first : first + thick] = (table == number)[slab]
    return own


def numbered(mask: npt.NDArray[Any], connectivity: int) -> npt.NDArray[np.uint32]:
    """Return the components of a mask, or of each value of an array, numbered from 1 in reading order.

    A large array is numbered slab by slab: connected-components-3d keeps Python's lock while it counts, and the window
    would stand still as long.
    """
    slabs, tables = _slabs(mask, connectivity)
    if len(slabs) == 1:
        return slabs[0]
    return np.concatenate([table[slab] for table, slab in zip(tables, slabs, strict=True)])


def spread(
    mask: Mask, connectivity: int, *, enclosed: bool = False
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint32]]:
    """Return the voxels of a mask, as indices of the flat array, and the number of each one's component.

    Of a scan, lesions are a small part: what is done with them alone is done at once.

    Parameters
    ----------
    mask
        (D, H, W).
    connectivity
        `BY_FACES` or `BY_CORNERS`.
    enclosed
        Only components that reach no side of the array; an axis of one voxel has no sides.
    """
    slabs, tables = _slabs(mask, connectivity)
    is_kept = np.ones(1 + max(int(table.max(initial=0)) for table in tables), dtype=bool)
    if enclosed:
        is_kept[_at_the_sides(slabs, tables)] = False
    at: list[npt.NDArray[np.intp]] = []
    numbers: list[npt.NDArray[np.uint32]] = []
    first = 0
    for slab, table in zip(slabs, tables, strict=True):
        wanted = mask[first : first + len(slab)]
        here = np.flatnonzero(wanted & is_kept[table][slab] if enclosed else wanted)
        numbers.append(table[slab.ravel()[here]])
        at.append(here + first * mask[0].size)
        first += len(slab)
    return np.concatenate(at), np.concatenate(numbers)


def _at_the_sides(slabs: Sequence[npt.NDArray[np.uint32]], tables: Sequence[npt.NDArray[np.uint32]]) -> list[int]:
    """Return the numbers in the whole of what is at the sides of an array."""
    sides = [
        table[np.take(slab, [0, -1], axis=axis)].ravel()
        for slab, table in zip(slabs, tables, strict=True)
        for axis in (1, 2)
        if slab.shape[axis] > 1
    ]
    if sum(len(slab) for slab in slabs) > 1:
        sides += [tables[0][slabs[0][0]].ravel(), tables[-1][slabs[-1][-1]].ravel()]
    return np.unique(np.concatenate(sides)).tolist() if sides else []


def _slabs(
    mask: npt.NDArray[Any], connectivity: int
) -> tuple[list[npt.NDArray[np.uint32]], list[npt.NDArray[np.uint32]]]:
    """Return the slabs of an array, each numbered for itself, and of each a table of the numbers in the whole."""
    thick = max(1, SLAB_VOXELS // mask[0].size) if mask.ndim == 3 and mask.size else max(1, len(mask))
    starts = range(0, max(1, len(mask)), thick)
    slabs = [_numbered_at_once(mask[at : at + thick], connectivity) for at in starts]
    offsets = np.cumsum([0, *(int(slab.max(initial=0)) for slab in slabs)])
    table = np.arange(1, offsets[-1] + 1, dtype=np.uint32)
    if len(slabs) > 1:
        joints = [_numbered_at_once(mask[at - 1 : at + 1], connectivity) for at in starts[1:]]
        table = _merged(slabs, joints, offsets)
    return slabs, [np.concatenate([[0], table[a:b]]).astype(np.uint32) for a, b in pairwise(offsets)]


def _numbered_at_once(mask: npt.NDArray[Any], connectivity: int) -> npt.NDArray[np.uint32]:
    ours = np.require(mask, requirements=("C", "W"))  # it takes no array that may not be written
    found: npt.NDArray[np.uint32]
    try:
        found = cc3d.connected_components(ours, connectivity=connectivity, out_dtype=np.uint32)
    except RuntimeError:  # in a mask of as many single voxels as there is room for, 4.1 runs out of numbers
        found = cc3d.connected_components(ours.view(np.uint8), connectivity=connectivity, out_dtype=np.uint32)
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


def _first_look(scene: Scene, place: Place, members: Callable[[Box], Mask], connectivity: int) -> Box:
    """Return a box that most likely holds a component; where it goes on beyond, the box is made wider later.

    The component is looked at three times: in full on the slices through the place, axial, coronal and sagittal, which
    finds what is thin, and in all of the reach at every fourth voxel, which finds what is large.
    """
    looks = [
        (_with(scene.reach, axis, slice(place[axis], place[axis] + 1)), connectivity) for axis in range(len(place))
    ]
    sparse = tuple(
        slice(span.start + (p - span.start) % STRIDE_VOXELS, span.stop, STRIDE_VOXELS)
        for span, p in zip(scene.reach, place, strict=True)
    )
    looks.append(((sparse[0], sparse[1], sparse[2]), BY_CORNERS))
    lows, highs = list(place), [p + 1 for p in place]
    for look, by in looks:
        at = tuple((p - span.start) // (span.step or 1) for p, span in zip(place, look, strict=True))
        found = _numbered_at_once(members(look), by)
        seen = box_of(found == found[at], _counted(look))
        assert seen is not None
        for axis, (span, counted) in enumerate(zip(look, seen, strict=True)):
            step = span.step or 1
            lows[axis] = min(lows[axis], span.start + counted.start * step - (step - 1))
            highs[axis] = max(highs[axis], span.start + (counted.stop - 1) * step + step)
    i, j, k = (
        slice(max(span.start, low - MARGIN_VOXELS), min(span.stop, high + MARGIN_VOXELS))
        for span, low, high in zip(scene.reach, lows, highs, strict=True)
    )
    return i, j, k


def _with(box: Box, axis: int, span: slice) -> Box:
    i, j, k = (span if a == axis else each for a, each in enumerate(box))
    return i, j, k


def _counted(look: Box) -> Box:
    """Return how many voxels of a box, which may leave some out, lie along each axis, as a box from 0."""
    i, j, k = (slice(0, len(range(span.start, span.stop, span.step or 1))) for span in look)
    return i, j, k


def _wider(own: Mask, box: Box, reach: Box) -> Box:
    """Return a box half as long again on every side where a component goes on beyond it; the same where it ends."""
    spans = []
    for axis, (span, limit) in enumerate(zip(box, reach, strict=True)):
        start, stop, length = span.start, span.stop, (span.stop - span.start) // 2 + MARGIN_VOXELS
        if start > limit.start and own.take(0, axis=axis).any():
            start = max(limit.start, start - length)
        if stop < limit.stop and own.take(-1, axis=axis).any():
            stop = min(limit.stop, stop + length)
        spans.append(slice(start, stop))
    return spans[0], spans[1], spans[2]
