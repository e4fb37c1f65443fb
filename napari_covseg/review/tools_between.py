"""From slice to slice: interpolate what lies between two painted ones, or copy a neighbour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import edt
import numpy as np
import numpy.typing as npt

from napari_covseg.review.components import IN_A_SLICE, numbered
from napari_covseg.review.correction import Box, Correction
from napari_covseg.review.scene import TITLES, Mask, Place, Scene


def interpolate(scene: Scene, index: int, value: int, place: Place | None = None) -> Correction | None:
    """Paint a class on the empty slices between two painted ones, over background only.

    Every slice between gets the shape whose signed distance is the weighted mean of the two painted shapes' own
    (Raya and Udupa, IEEE Trans. Med. Imaging 9, 1990), in millimetres within the slice.

    Parameters
    ----------
    scene
        In three dimensions; a reach of one slice leaves nothing to interpolate between.
    index
        An empty slice between two painted ones, or a painted one: then the nearer gap beside it is filled.
    value
        The class.
    place
        On a lesion of the class, or between slices above and below that hold it there: then only the outline of this
        lesion (of the nearer) counts, on whichever slice it lies, and others of the class elsewhere do not matter.

    Raises
    ------
    ValueError
        If there is no gap, or nothing is painted on one side of it.
    """
    outline = _outline(scene, place, value)
    above, below = _gap(partial(_is_painted, scene, outline, value), len(scene.labels), index, value)
    ends = [_shape(scene.labels[at] == value, outline) for at in (above, below)]
    rows, columns = _box_of(ends[0] | ends[1])
    box: Box = (slice(above + 1, below), rows, columns)
    distances_mm = [_signed_distance_mm(shape[rows, columns], scene.spacing_mm[1:]) for shape in ends]
    after = scene.labels[box].copy()
    for plane, at in zip(after, range(above + 1, below), strict=True):
        share = (at - above) / (below - above)
        inside = (1 - share) * distances_mm[0] + share * distances_mm[1] > 0
        plane[inside & (plane == 0)] = value
    found = scene.correction(box, after, "interpolate", f"interpolate {TITLES[value]}")
    if found is None:
        raise ValueError(
            f"The shapes on slices {above + 1} and {below + 1} do not meet in between; nothing was painted."
        )
    return found


def copy_slice(scene: Scene, index: int, step: int) -> Correction | None:
    """Paint what the slice above or below holds on this one, over background only.

    Parameters
    ----------
    scene
        Label map and scan.
    index
        The slice that is painted.
    step
        −1 copies from the slice above, 1 from the one below.

    Raises
    ------
    ValueError
        If there is no such slice, or it is empty.
    """
    source, side = index + step, "above" if step < 0 else "below"
    if not 0 <= source < len(scene.labels):
        raise ValueError(f"There is no slice {side} this one.")
    if not scene.labels[source].any():
        raise ValueError(f"The slice {side} holds no lesion; nothing was copied.")
    box = scene.on_slice(index).reach
    here = scene.labels[box]
    return scene.correction(box, np.where(here == 0, scene.labels[source], here), "copy", f"copy from the slice {side}")


def _outline(scene: Scene, place: Place | None, value: int) -> Mask:
    """Return where on a slice the class counts: everywhere, or where the lesion lies that is pointed at."""
    at = None if place is None else _lies_on(scene, scene.checked(place), value)
    if place is None or at is None:
        return np.ones(scene.labels.shape[1:], dtype=bool)
    found = numbered(scene.labels[at] == value, IN_A_SLICE)
    own: Mask = found == found[place[1:]]
    return own


def _lies_on(scene: Scene, place: Place, value: int) -> int | None:
    """Return the slice on which the lesion lies that is pointed at: this one, or the nearer of one on either side."""
    painted = np.flatnonzero(scene.labels[:, place[1], place[2]] == value)
    if place[0] in painted:
        return place[0]
    above, below = painted[painted < place[0]], painted[painted > place[0]]
    if not (above.size and below.size):
        return None
    return int(min(above[-1], below[0], key=lambda at: abs(at - place[0])))


def _shape(plane: Mask, outline: Mask) -> Mask:
    """Return the lesions of a slice that the outline meets, whole."""
    found = numbered(plane, IN_A_SLICE)
    met = np.unique(found[outline & plane])
    shape: Mask = np.isin(found, met)
    return shape


def _is_painted(scene: Scene, outline: Mask, value: int, index: int) -> bool:
    return bool(((scene.labels[index] == value) & outline).any())


def _gap(is_painted: Callable[[int], bool], depth: int, index: int, value: int) -> tuple[int, int]:
    """Return the painted slices on both sides of a gap; only slices up to there are looked at."""
    upward, downward = range(index - 1, -1, -1), range(index + 1, depth)
    if not is_painted(index):
        above = next(filter(is_painted, upward), None)
        below = next(filter(is_painted, downward), None)
        if above is not None and below is not None:
            return above, below
        if above is None and below is None:
            raise ValueError(f"No slice holds {TITLES[value]}; paint it on two slices, with empty ones in between.")
        side, other = ("above", "below") if above is None else ("below", "above")
        title = TITLES[value].capitalize()
        raise ValueError(f"{title} is painted {other} this slice but not {side} it; paint there too.")
    gaps = [gap for run in (upward, downward) if (gap := _gap_along(is_painted, index, run))]
    if not gaps:
        raise ValueError(f"There is no gap beside this slice: {TITLES[value]} is painted on no slice beyond it.")
    return min(gaps, key=lambda gap: gap[1] - gap[0])


def _gap_along(is_painted: Callable[[int], bool], index: int, run: Sequence[int]) -> tuple[int, int] | None:
    """Return the first gap on the way from a painted slice, or None."""
    near, gap = index, False
    for at in run:
        if not is_painted(at):
            gap = True
        elif gap:
            return min(near, at), max(near, at)
        else:
            near = at
    return None


def _box_of(mask: Mask) -> tuple[slice, slice]:
    """Return the smallest box of a mask, one voxel wider so that the outside is in it."""
    spans = []
    for axis, size in zip((1, 0), mask.shape, strict=True):
        found = np.flatnonzero(mask.any(axis=axis))
        spans.append(slice(max(0, int(found[0]) - 1), min(size, int(found[-1]) + 2)))
    return spans[0], spans[1]


def _signed_distance_mm(shape: Mask, spacing_mm: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Return how far every voxel is from the other side of the outline: positive inside, negative outside."""
    inside, outside = (edt.edt(mask, anisotropy=spacing_mm, black_border=False) for mask in (shape, ~shape))
    distance: npt.NDArray[np.float32] = inside - outside
    return distance
