"""Where the body of a scan's values lies: one odd voxel, or a padding of −2000, says nothing of Hounsfield units."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FEWEST_VALUES, ENOUGH_VALUES = 1000, 500_000

BELOW_AIR_HU = -1100
"""Noise takes air this far down; what is below is padding, of one or two values."""

PADDINGS = 2
MOST_BELOW_AIR = 0.05

DENSE_HU = 800
"""Only bone, contrast and metal are denser; soft tissue that had 1024 added is, too."""

MOST_DENSE = 0.1
MUCH_DENSER = 4
"""A chest holds more lung than anything dense; other numbers hold this many times more that is dense."""

LIGHT_HU = (-999, -200)
LEAST_LIGHT = 0.001
LIGHTEST_HU = -700
"""Lung full of air, and the air around a patient, lie below."""

PLANES_ASKED, ROWS_ASKED, MOST_APART = 2, 128, 0.6
"""Of voxels without any order, neighbours differ as much as any two; of the noisiest scan, less than half as much."""


def why_no_hounsfield(hu: npt.NDArray[Any]) -> str:
    """Return what about the body of the values says that they are no Hounsfield units; empty where nothing does."""
    values = _some(hu)
    if values.size < FEWEST_VALUES:
        return ""
    below = values[values < BELOW_AIR_HU]
    counts = np.sort(np.unique(below, return_counts=True)[1])[:-PADDINGS]
    if (share := counts.sum() / values.size) > MOST_BELOW_AIR:
        return f"{100 * share:.0f} % of its values are less than air"
    inside = values[values > LIGHT_HU[0]]
    if not inside.size:
        return ""
    dense, light = float((inside >= DENSE_HU).mean()), _share_light(inside)
    if dense > MOST_DENSE and dense > MUCH_DENSER * light:
        return f"{100 * dense:.0f} % of its values are denser than bone"
    if light == 0 and inside.min() >= 0:
        return "nothing in it but padding is less dense than water"
    return ""


def doubt_about(hu: npt.NDArray[Any]) -> str:
    """Return what about the body of the values is odd for a chest; empty where nothing is."""
    values = _some(hu)
    if values.size < FEWEST_VALUES:
        return ""
    if _share_light(values) < LEAST_LIGHT:
        return "holds hardly a value between −1000 and −200, as lung has"
    if float((values <= LIGHTEST_HU).mean()) < LEAST_LIGHT:
        return f"holds hardly a value below −{-LIGHTEST_HU}, as lung full of air and the air around a patient have"
    return ""


def is_without_order(values: npt.NDArray[Any]) -> bool:
    """Whether neighbours in a slice are hardly more alike than any two voxels of it: then it shows nothing."""
    if values.size < FEWEST_VALUES:
        return False
    planes = values.transpose(np.argsort(values.strides, kind="stable")[::-1])
    first = max(0, (planes.shape[1] - ROWS_ASKED) // 2)
    planes = planes[:: max(1, len(planes) // PLANES_ASKED), first : first + ROWS_ASKED].astype(np.float64)
    rows, columns = (np.random.default_rng(axis).permutation(planes.shape[axis]) for axis in (1, 2))
    mixed = planes[:, rows][:, :, columns]
    usual = float(np.abs(planes - mixed).mean())
    beside = (float(np.abs(np.diff(planes, axis=axis)).mean()) for axis in (1, 2) if planes.shape[axis] > 1)
    return usual > 0 and max(beside, default=0.0) > MOST_APART * usual


def _share_light(values: npt.NDArray[Any]) -> float:
    low, high = LIGHT_HU
    return float(((values > low) & (values < high)).mean())


def _some(hu: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return enough of the values to know their body, evenly from the whole scan."""
    stride = max(1, round((hu.size / ENOUGH_VALUES) ** 0.5))
    thinned = hu.transpose(np.argsort(hu.strides)[::-1])[::stride, ::stride]
    return thinned.reshape(-1)
