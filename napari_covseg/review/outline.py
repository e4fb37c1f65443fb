"""Smoothing block by block: only where an outline runs something is done, and the reader can stop in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_covseg.jobs import Job, Progress
from napari_covseg.review.correction import Box, Labels
from napari_covseg.review.scene import box_of

ROUNDING = 1e-5
TRUNCATE = 3.0
BLOCK_VOXELS = (16, 64, 64)
"""Size of a block, where the kernel is small: it and what comes of it stay in the processor's cache."""

Kernel = Literal["median", "gaussian"]
Seen = Callable[[npt.NDArray[np.bool_]], npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What a kernel sees of a mask.

    Parameters
    ----------
    reaches
        In voxels along each axis.
    seen
        From a mask, to how much of it is seen from each voxel that lies no nearer than the reaches to its edge.
    most
        How much is seen where all is in the mask.
    block_reaches
        How many reaches long a block is at least: what is seen beside it is work too.
    """

    reaches: tuple[int, int, int]
    seen: Seen
    most: float
    block_reaches: int


def sight_of(kind: Kernel, size_mm: float, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> Sight:
    """Return what a kernel sees, within a slice where the shape is flat: the median's ball, or a Gaussian."""
    if kind == "gaussian":
        sigmas = [size_mm / mm if n > 1 else 0.0 for n, mm in zip(shape, spacing_mm, strict=True)]
        bells = [_bell(sigma) for sigma in sigmas]
        i, j, k = (len(bell) // 2 for bell in bells)
        return Sight((i, j, k), lambda mask: _blurred(mask, bells), 1.0, 4)
    i, j, k = (int(size_mm / mm + ROUNDING) if n > 1 else 0 for n, mm in zip(shape, spacing_mm, strict=True))
    away = [(np.arange(-n, n + 1) * mm) ** 2 for n, mm in zip((i, j, k), spacing_mm, strict=True)]
    squared = np.add.outer(np.add.outer(away[0], away[1]), away[2])
    ball = squared <= size_mm**2 * (1 + ROUNDING)
    return Sight((i, j, k), lambda mask: _counted(mask, ball), float(np.count_nonzero(ball)), 6)


def smoothed(labels: Labels, sight: Sight) -> Job[Labels]:
    """Return labels whose outline is smoothed; beyond the edge the last voxels go on.

    A voxel stays or becomes lesion where more than half of what the kernel sees is lesion. A lesion voxel keeps its
    class; a new one takes the class that weighs most there, of equals the lower.
    """
    after = labels.copy()
    padded = np.pad(labels, [(reach, reach) for reach in sight.reaches], mode="edge")
    blocks = list(_blocks(labels.shape, sight))
    for number, block in enumerate(blocks, start=1):
        yield Progress(number - 1, len(blocks), "smoothing")
        i, j, k = (slice(b.start, b.stop + 2 * reach) for b, reach in zip(block, sight.reaches, strict=True))
        around = padded[i, j, k]
        is_lesion = around > 0
        if is_lesion.any() and not is_lesion.all():
            after[block] = _smoothed_block(labels[block], around, sight)
    yield Progress(len(blocks), len(blocks), "smoothing")
    return after


def _smoothed_block(inner: Labels, around: Labels, sight: Sight) -> Labels:
    becomes = np.asarray(sight.seen(around > 0) > (0.5 + ROUNDING) * sight.most)
    found: Labels = np.where(becomes, inner, np.uint8(0))
    is_new = becomes & (inner == 0)
    box = box_of(is_new, _all_of(inner))
    if box is not None:
        i, j, k = (slice(b.start, b.stop + 2 * reach) for b, reach in zip(box, sight.reaches, strict=True))
        np.copyto(found[box], _heaviest(around[i, j, k], sight), where=is_new[box])
    return found


def _heaviest(around: Labels, sight: Sight) -> Labels:
    """Return the class that weighs most at each voxel that lies no nearer than the reaches to the edge."""
    values: Labels = np.flatnonzero(np.bincount(around.ravel())).astype(np.uint8)
    values = values[values > 0]
    if len(values) == 1:
        return values  # as good as an array of it
    weights = [sight.seen(around == value) for value in values]
    found: Labels = values[np.argmax(weights, axis=0)]
    return found


def _all_of(labels: Labels) -> Box:
    i, j, k = (slice(0, n) for n in labels.shape)
    return i, j, k


def _blocks(shape: tuple[int, ...], sight: Sight) -> Iterator[Box]:
    sizes = [max(n, sight.block_reaches * reach) for n, reach in zip(BLOCK_VOXELS, sight.reaches, strict=True)]
    starts = (range(0, n, size) for n, size in zip(shape, sizes, strict=True))
    for corner in product(*starts):
        i, j, k = (slice(at, min(n, at + size)) for at, n, size in zip(corner, shape, sizes, strict=True))
        yield i, j, k


def _bell(sigma_voxels: float) -> npt.NDArray[np.float32]:
    """Return a Gaussian that sums to 1, cut off at `TRUNCATE` standard deviations."""
    reach = int(TRUNCATE * sigma_voxels + 0.5)
    away = np.arange(-reach, reach + 1)
    bell = np.exp(-0.5 * (away / max(sigma_voxels, ROUNDING)) ** 2)
    found: npt.NDArray[np.float32] = (bell / bell.sum()).astype(np.float32)
    return found


def _blurred(mask: npt.NDArray[np.bool_], bells: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return a mask under a bell along each axis: as products of matrices, which a processor is quickest at."""
    slices, rows, columns = (_sliding(bell, n) for bell, n in zip(bells, mask.shape, strict=True))
    found = rows @ (mask.astype(np.float32) @ columns.T)
    found = slices @ found.reshape(len(found), -1)
    return found.reshape(len(slices), len(rows), len(columns))


def _sliding(bell: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    """Return the matrix that slides a bell along so many voxels, as far as it lies within them."""
    places = length - len(bell) + 1
    found = np.zeros((places, length), dtype=np.float32)
    for at in range(places):
        found[at, at : at + len(bell)] = bell
    return found


def _counted(mask: npt.NDArray[np.bool_], ball: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return how many voxels of a mask lie in a ball around each voxel: row by row of the ball, from running sums."""
    planes, rows, columns = (n - b + 1 for n, b in zip(mask.shape, ball.shape, strict=True))
    middle = ball.shape[2] // 2
    dtype = np.uint16 if ball.size < 2**16 else np.uint32
    sums = np.zeros((*mask.shape[:2], mask.shape[2] + 1), dtype=dtype)
    np.cumsum(mask, axis=2, dtype=dtype, out=sums[:, :, 1:])
    halves = ball.sum(axis=2) // 2
    found = np.zeros((planes, rows, columns), dtype=dtype)
    for half in np.unique(halves[ball[:, :, middle]]):
        first, last = middle - half, middle + half + 1
        run = sums[:, :, last : last + columns] - sums[:, :, first : first + columns]
        for i, j in np.argwhere((halves == half) & ball[:, :, middle]):
            found += run[i : i + planes, j : j + rows]
    return found
