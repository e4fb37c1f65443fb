"""Slices that break off at a row: damage in compressed pixels shifts or scrambles all that is decoded after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

CALM_HU = 30.0
ABRUPT = 4.0
"""A row differs this many times more from the one above it than the same rows of the next slices do, or than noise."""

REACH = 5
"""An edge that lies along a row may lie this many rows (in all) away in the next slice."""

EVERY = 2
"""So many columns further the next one is looked at."""


def broken_off(planes: npt.NDArray[np.generic]) -> list[int]:
    """Return which slices, (slice, row, column) HU, have a row that breaks with the one above as in no next slice."""
    if min(planes.shape[:2]) < 2:
        return []
    shifts, changes = zip(*(_breaks(plane) for plane in planes), strict=True)
    is_broken = _stands_out(shifts) | _stands_out(changes)
    return np.flatnonzero(is_broken).tolist()


def _breaks(plane: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return by how much each row differs from the one above it: shifted as a whole, and in its typical column."""
    steps = np.diff(plane[:, ::EVERY].astype(np.float32), axis=0)
    return np.abs(np.median(steps, axis=1)), np.median(np.abs(steps), axis=1)


def _stands_out(breaks: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.bool_]:
    found = np.stack(breaks)
    nearby = ndimage.maximum_filter1d(found, REACH, axis=1, mode="nearest")
    usual = np.full_like(found, CALM_HU)
    usual[1:] = np.maximum(usual[1:], nearby[:-1])
    usual[:-1] = np.maximum(usual[:-1], nearby[1:])
    return np.asarray((found > ABRUPT * usual).any(axis=1))
