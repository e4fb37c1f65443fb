"""The slice strip as pixels: a bar per slice, stacked by class, drawn at once with NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Millilitres = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

GAP_FROM_PX = 5
"""Bars this wide or wider have a gap between them."""


def slice_at(x: float, width: int, depth: int) -> int:
    """Return the slice that is drawn at a place on the strip; beyond the ends, the last one there is."""
    return min(max(int(x * depth / max(width, 1)), 0), depth - 1)


def span(index: int, width: int, depth: int) -> tuple[float, float]:
    """Return where a slice begins and ends on the strip."""
    return index * width / depth, (index + 1) * width / depth


def shown_slices(totals: Millilitres, width: int) -> npt.NDArray[np.intp]:
    """Return which slice each column of pixels shows; where several share one, the fullest."""
    depth = len(totals)
    if depth <= width:
        return ((np.arange(width) + 0.5) * depth / width).astype(np.intp)
    firsts = np.arange(width) * depth // width
    beyond = np.append(firsts[1:], depth)
    shared = firsts[:, None] + np.arange(int((beyond - firsts).max()))
    shared = np.minimum(shared, beyond[:, None] - 1)
    chosen: npt.NDArray[np.intp] = shared[np.arange(width), totals[shared].argmax(axis=1)]
    return chosen


def bars(per_class: Sequence[Millilitres], colours: Sequence[tuple[int, int, int]], size: tuple[int, int]) -> Pixels:
    """Return the bars as (height, width, 4) BGRA bytes; the fullest slice reaches the top.

    Parameters
    ----------
    per_class
        Millilitres per slice, from the apex down, for each class from the bottom up.
    colours
        Red, green, blue of each class.
    size
        Height and width in pixels.
    """
    height, width = size
    stacked = np.cumsum(np.stack(per_class), axis=0)
    totals = stacked[-1]
    columns = shown_slices(totals, width)
    tops = stacked[:, columns] * (height / max(float(totals.max()), 1e-9))
    tiny = (totals[columns] > 0) & (tops[-1] < 1)  # the smallest lesion is seen too, in its own colour
    tops[:, tiny] /= tops[-1, tiny]
    ladder = np.arange(height, 0, -1)[:, None] - 0.5
    level = sum((ladder > top[None]).astype(np.intp) for top in tops)
    palette = np.array([*((b, g, r, 255) for r, g, b in colours), (0, 0, 0, 0)], dtype=np.uint8)
    painted: Pixels = palette[level]
    if width / len(totals) >= GAP_FROM_PX:
        painted[:, np.flatnonzero(np.diff(columns))] = 0
    return painted


def heat(per_slice: Millilitres, colour: tuple[int, int, int], size: tuple[int, int]) -> Pixels:
    """Return a band of one colour as (height, width, 4) BGRA bytes, stronger where the value is nearer to 1."""
    height, width = size
    strength = np.clip(per_slice[shown_slices(per_slice, width)], 0.0, 1.0)
    r, g, b = colour
    row = np.empty((width, 4), dtype=np.uint8)
    row[:, :3] = (b, g, r)
    row[:, 3] = np.round(255 * strength)
    return np.repeat(row[None], height, axis=0)
