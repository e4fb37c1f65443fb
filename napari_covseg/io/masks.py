"""Whether values 0…255 or 0…1 are a mask's: labels lie in plateaus on nothing, probabilities at both ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Voxels = npt.NDArray[Any]

MOST_KINDS, ENOUGH_VOXELS = 12, 1000
"""No picture of a scan gets by with so few grey values in so many voxels."""

LEAST_EMPTY = 1 / 3
"""A label map holds at least so much of nothing."""

LEAST_FLAT = 0.85
"""In a label map so many neighbours are alike; grey values of a scan, even without noise, are not half as flat."""

FEWEST_PAIRS = 100
END, MOST_BETWEEN = 0.02, 0.05
"""Of probabilities fewer than these lie further from 0 and 1; of a scan's grey values, lung and soft tissue do."""


def why_a_mask(values: Voxels) -> str:
    """Return what says that values 0…255, (I, J, K), are a mask; empty where nothing does."""
    if values.size >= ENOUGH_VOXELS and (kinds := _few_kinds(values)):
        return f"is a label map (it holds only {', '.join(str(kind) for kind in kinds)})"
    filled = values != 0
    if filled.mean() > 1 - LEAST_EMPTY or not filled.any():
        return ""
    if float(values.max()) <= 1 and values.dtype.kind == "f":
        return _why_probabilities(values)
    if any((plane != np.rint(plane)).any() for plane in values.transpose(2, 0, 1)):
        return ""
    alike, pairs = np.sum([_neighbours(plane) for plane in values.transpose(2, 0, 1)], axis=0)
    if pairs < FEWEST_PAIRS or alike < LEAST_FLAT * pairs:
        return ""
    return f"is a label map (its values up to {values.max():g} lie in plateaus)"


def _few_kinds(values: Voxels) -> list[int]:
    """Return the different values if they are few and whole, and nothing is among them."""
    kinds: set[float] = set()
    for plane in values.transpose(2, 0, 1):
        kinds |= set(np.unique(plane).tolist())
        if len(kinds) > MOST_KINDS or any(kind != int(kind) for kind in kinds):
            return []
    return sorted(int(kind) for kind in kinds) if 0 in kinds and len(kinds) > 1 else []


def _why_probabilities(values: Voxels) -> str:
    between = (values > END) & (values < 1 - END)
    if not between.any() or between.mean() > MOST_BETWEEN:
        return ""
    return "is a map of probabilities (nearly all its values are close to 0 or 1)"


def _neighbours(plane: Voxels) -> tuple[int, int]:
    """Return how many neighbours are alike, and how many there are, where neither is 0 nor a picture's white."""
    alike = pairs = 0
    inside = (plane != 0) & (plane != 255)
    for one, two in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        both = inside[one] & inside[two]
        pairs += int(both.sum())
        alike += int((both & (plane[one] == plane[two])).sum())
    return alike, pairs
