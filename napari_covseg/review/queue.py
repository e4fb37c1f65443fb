"""Which slice the reader should look at next: where a network is least sure, spread over the scan.

A first queue. The most uncertain slices of a scan lie side by side and show the same lesion, so each choice makes its
neighbourhood less worth looking at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

FLOOR = 0.1
"""Share of the largest uncertainty that every slice has at least: a network may be sure and wrong."""


def slice_uncertainty(probabilities: npt.NDArray[np.floating], *, independent: bool = False) -> float:
    """Return how many voxels of a slice a network expects to have wrong: the sum of 1 - p of what it chose.

    Parameters
    ----------
    probabilities
        (C, H, W). Summing to 1 over the channels, or of independent classes.
    independent
        Whether the channels are independent yes-or-no classes, each counted by itself.
    """
    if probabilities.ndim != 3:
        raise ValueError(f"A slice's probabilities are (C, H, W), not of shape {probabilities.shape}.")
    if independent or len(probabilities) == 1:
        return float(np.minimum(probabilities, 1 - probabilities).sum(dtype=np.float64))
    return float((1 - probabilities.max(axis=0)).sum(dtype=np.float64))


def first_queue(
    uncertainty: Sequence[float] | npt.NDArray[np.floating],
    spacing_mm: float,
    count: int,
    seen: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the slices to look at, the most worthwhile first.

    A slice is worth its uncertainty, less the nearer it lies to one that was seen or chosen before: nothing at that
    slice itself, all of it from a share of the scan away.

    Parameters
    ----------
    uncertainty
        One number per slice, as `slice_uncertainty` gives them; not a number where nobody asked a network.
    spacing_mm
        Between slices.
    count
        How many to choose; fewer come where there are fewer left.
    seen
        Indices that the reader has reviewed.

    Raises
    ------
    ValueError
        If the spacing is not positive.
    """
    if not spacing_mm > 0:
        raise ValueError(f"Slices lie a positive distance apart, not {spacing_mm} mm.")
    worth = np.nan_to_num(np.asarray(uncertainty, dtype=np.float64), nan=0.0)
    depth = len(worth)
    worth = np.maximum(worth, FLOOR * worth.max(initial=0.0)) if worth.any() else np.ones(depth)
    reach_mm = max(spacing_mm, depth * spacing_mm / (count + len(seen) + 1) / 2)
    chosen: list[int] = []
    far = np.ones(depth)
    for index in seen:
        far = np.minimum(far, _novelty(depth, index, spacing_mm, reach_mm))
    taken = set(seen)
    while len(chosen) < min(count, depth - len(set(seen))):
        score = worth * far
        score[list(taken)] = -1.0
        best = int(score.argmax())
        chosen.append(best)
        taken.add(best)
        far = np.minimum(far, _novelty(depth, best, spacing_mm, reach_mm))
    return tuple(chosen)


def _novelty(depth: int, index: int, spacing_mm: float, reach_mm: float) -> npt.NDArray[np.float64]:
    """Return, per slice, how little one slice says about it: 0 at that slice, near 1 from twice the reach on."""
    away_mm = np.abs(np.arange(depth) - index) * spacing_mm
    novelty: npt.NDArray[np.float64] = 1 - np.exp(-((away_mm / reach_mm) ** 2))
    return novelty
