"""Single voxels that fit nothing around them, as a byte that was damaged where no checksum looks leaves them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_covseg.volume import Geometry
from napari_covseg.volume.geometry import READING_ORIENTATION, rearrangement

Voxels = npt.NDArray[Any]

LEAST_HU, ENOUGH_HU = 200.0, 3000.0
"""Whoever stands out by less from all eight neighbours may be noise; by more, nothing a scanner can resolve does."""

NOISIEST = 16
NOISE = 4.0
"""A stray voxel stands out this many times further than all but the `NOISIEST` voxels of its scan."""

CALM = 4.0
"""It stands out this many times further than its neighbours differ: a small dense thing brightens them, too."""

SAMPLED = 4096
MOST_BETWEEN = 1e-4

_AROUND = np.array([(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if row or column]).T[..., None]


def doubt_about_voxels(hu: Voxels, geometry: Geometry, name: str) -> tuple[str, ...]:
    """Return a sentence for voxels that stand out from all around them, and one for values between steps."""
    at = _standing_out(hu)
    notes: tuple[str, ...] = ()
    if len(at):
        called = "1 voxel stands" if len(at) == 1 else f"{len(at)} voxels stand"
        first = f"{name}: {called} out from all around (the first on slice {_slice_number(at[0], geometry)})"
        notes = (f"{first}, as damaged files have them; copy it again, or look there before you measure.",)
    if (step := _step(hu)) > 1 and (count := _between_steps(hu, step)):
        called = "1 voxel lies" if count == 1 else f"{count} voxels lie"
        between = f"{name}: {called} between the steps of {step} that all other values keep"
        notes += (f"{between}, as damaged files have them; copy it again.",)
    return notes


def _standing_out(hu: Voxels) -> npt.NDArray[np.int64]:
    """Return the indices, (N, 3), of the voxels that stand out."""
    order = np.argsort(hu.strides, kind="stable")[::-1]
    by_plane = hu.transpose(order)
    found = np.empty((0, 5))
    floor = LEAST_HU / NOISE
    for number, plane in enumerate(by_plane):
        if len(more := _peaks(plane, floor)):
            found = np.concatenate([found, np.insert(more, 0, number, axis=1)])
            found = found[found[:, 3] >= floor]
            floor = max(floor, min(_noise(found[:, 3]), ENOUGH_HU))
    out, spread = found[:, 3], found[:, 4]
    least = min(max(LEAST_HU, NOISE * _noise(out)), ENOUGH_HU)
    at = found[(out > least) & (out > CALM * spread), :3].astype(np.int64)
    return at[:, np.argsort(order)]


def _noise(out: npt.NDArray[np.float64]) -> float:
    """Return how far all but the noisiest voxels stand out at most."""
    return float(-np.partition(-out, NOISIEST)[NOISIEST]) if len(out) > NOISIEST else 0.0


def _peaks(plane: Voxels, floor: float) -> npt.NDArray[np.float64]:
    """Return row, column, by how much it stands out and how much its neighbours differ, (N, 4), of each local peak."""
    at = np.flatnonzero(_could_stand_out(plane, floor))  # several times as fast as where there are two axes
    if not len(at):
        return np.empty((0, 4))
    place, last = np.divmod(at, plane.shape[1]), np.array(plane.shape)[:, None] - 1
    beside = np.abs([axis + step for axis, step in zip(place, _AROUND, strict=True)])
    row, column = last[..., None] - np.abs(last[..., None] - beside)  # mirrored at the edges
    around = plane[row, column].astype(np.float64)
    here, high, low = plane[place].astype(np.float64), around.max(axis=0), around.min(axis=0)
    out = np.maximum(here - high, low - here)
    peaks: npt.NDArray[np.float64] = np.column_stack([*place, out, high - low])[out >= floor]
    return peaks


def _could_stand_out(plane: Voxels, floor: float) -> npt.NDArray[np.bool_]:
    """Whether voxels are further than `floor` from those before and after them in their row, in the same direction."""
    found = np.zeros(plane.shape, dtype=bool)
    if plane.shape[0] < 2 or plane.shape[1] < 2:
        return found
    halved = plane >> 1 if plane.dtype.kind == "i" else plane * np.float32(0.5)  # so that no difference overflows
    half = plane.dtype.type(floor / 2 - 1)
    row_after_row = halved.ravel()  # in one go, which is faster; the ends of the rows come after
    steps = row_after_row[1:] - row_after_row[:-1]
    up, down = steps > half, steps < -half
    found.ravel()[1:-1] = (up[:-1] & down[1:]) | (down[:-1] & up[1:])
    for end, inner in ((0, 1), (-1, -2)):
        found[:, end] = np.abs(halved[:, end] - halved[:, inner]) > half
    return found


def _step(hu: Voxels) -> int:
    """Return the step that values of a few voxels keep; 1 where they keep none."""
    if hu.dtype.kind != "i":
        return 1
    stride = max(1, hu.size // SAMPLED)
    few = hu.ravel(order="K")[::stride].astype(np.int64)
    values, counts = np.unique(few, return_counts=True)
    usual = values[counts > 1]
    return int(np.gcd.reduce(usual - usual[0])) if len(usual) > 2 else 1


def _between_steps(hu: Voxels, step: int) -> int:
    """Return how many voxels lie between steps, if they are few; the ends of the range, where values are cut, may."""
    first = hu.ravel(order="K")[0]
    counts = np.zeros(step, dtype=np.int64)
    ends = int(hu.min()), int(hu.max())
    for plane in hu.transpose(np.argsort(hu.strides, kind="stable")[::-1]):
        inside = plane[(plane != ends[0]) & (plane != ends[1])]
        counts += np.bincount((inside.astype(np.int64) - int(first)) % step, minlength=step)
    between = int(counts.sum() - counts.max())
    return between if between <= MOST_BETWEEN * hu.size else 0


def _slice_number(index: npt.NDArray[np.int64], geometry: Geometry) -> int:
    """Return the number, from 1 at the apex, of the slice a voxel lies on."""
    axes, flips = rearrangement(geometry.orientation, READING_ORIENTATION)
    along = int(index[axes[0]])
    return geometry.shape[axes[0]] - along if flips[0] else along + 1
