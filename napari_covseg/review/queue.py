"""Which slice the reader should look at next: where a network is least sure, spread over the scan.

A first queue. The most uncertain slices of a scan lie side by side and show the same lesion, so each choice makes its
neighbourhood less worth looking at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_covseg.volume import Geometry

FLOOR = 0.25
"""Share of the largest worth that every slice has at least: a network may be sure and wrong."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A slice worth looking at next.

    Parameters
    ----------
    index
        From the apex.
    unsure_ml
        How much the network expects to have wrong there; 0 where that is not why it is suggested, but that it lies far
        from all that was seen.
    """

    index: int
    unsure_ml: float


def suggestion(
    uncertain_voxels: npt.NDArray[np.floating], geometry: Geometry, seen: Collection[int]
) -> Suggestion | None:
    """Return the slice that is most worth looking at next; None where every slice was seen.

    Parameters
    ----------
    uncertain_voxels
        One number per slice; not a number where nobody asked a network.
    geometry
        Of the scan, in reading order.
    seen
        Indices that the reader has reviewed or was led to.
    """
    chosen = first_queue(uncertain_voxels, geometry.spacing_mm[0], 1, seen)
    if not chosen:
        return None
    worth = _worth(uncertain_voxels)
    is_unsure = FLOOR < worth[chosen[0]] > worth.min()
    return Suggestion(chosen[0], float(uncertain_voxels[chosen[0]]) * geometry.voxel_ml if is_unsure else 0.0)


def first_queue(
    uncertainty: Sequence[float] | npt.NDArray[np.floating],
    spacing_mm: float,
    count: int,
    seen: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the slices to look at, the most worthwhile first.

    A slice is worth what it is more uncertain than the surest one, less the nearer it lies to one that was seen or
    chosen before: nothing at that slice itself, all of it from a share of the scan away. Of slices that are worth the
    same, the one nearest the middle is chosen, where the lungs are widest.

    Parameters
    ----------
    uncertainty
        One number per slice, as a network's predictions tell them; not a number where nobody asked one.
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
    worth = _worth(uncertainty)
    depth = len(worth)
    from_middle = np.argsort(np.abs(np.arange(depth) - (depth - 1) / 2), kind="stable")
    reach_mm = max(spacing_mm, depth * spacing_mm / (count + len(seen) + 1) / 2)
    chosen: list[int] = []
    far = np.ones(depth)
    for index in seen:
        far = np.minimum(far, _novelty(depth, index, spacing_mm, reach_mm))
    taken = set(seen)
    while len(chosen) < min(count, depth - len(set(seen))):
        score = worth * far
        score[list(taken)] = -1.0
        best = int(from_middle[score[from_middle].argmax()])
        chosen.append(best)
        taken.add(best)
        far = np.minimum(far, _novelty(depth, best, spacing_mm, reach_mm))
    return tuple(chosen)


def _worth(uncertainty: Sequence[float] | npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return what each slice is worth for its uncertainty alone, from `FLOOR` to 1.

    What a network is unsure of on every slice alike (skin, vessels, noise) tells no slice from another: it is several
    times as much as what it is unsure of in lesions.
    """
    unsure = np.nan_to_num(np.asarray(uncertainty, dtype=np.float64), nan=0.0)
    more = unsure - unsure.min(initial=np.inf)
    return np.maximum(more / more.max(), FLOOR) if more.any() else np.ones(len(unsure))


def _novelty(depth: int, index: int, spacing_mm: float, reach_mm: float) -> npt.NDArray[np.float64]:
    """Return, per slice, how little one slice says about it: 0 at that slice, near 1 from twice the reach on."""
    away_mm = np.abs(np.arange(depth) - index) * spacing_mm
    novelty: npt.NDArray[np.float64] = 1 - np.exp(-((away_mm / reach_mm) ** 2))
    return novelty
