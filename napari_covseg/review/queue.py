"""Which slice the reader should look at next: of every part of the scan the one where a network is least sure.

A first queue. The most uncertain slices of a scan lie side by side, often where there is no lesion at all (the bases of
the lungs), and a network may be sure and wrong: so each part of the scan has its turn.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from napari_covseg.volume import Geometry

UNSURE_SHARE = 0.25
"""Of the most uncertain slice's doubt: a slice with more is suggested for its doubt, others for where they lie."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A slice worth looking at next.

    Parameters
    ----------
    index
        From the apex.
    unsure_ml
        How much the network expects to have wrong there; 0 where that is not why it is suggested, but where it lies.
    away_mm
        From the nearest slice that was seen; infinitely far where none was.
    """

    index: int
    unsure_ml: float
    away_mm: float


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
    unsure = np.nan_to_num(uncertain_voxels)
    is_unsure = unsure[chosen[0]] > UNSURE_SHARE * unsure.max(initial=0.0)
    away_mm = min((abs(chosen[0] - index) * geometry.spacing_mm[0] for index in seen), default=inf)
    return Suggestion(chosen[0], float(unsure[chosen[0]]) * geometry.voxel_ml if is_unsure else 0.0, away_mm)


def first_queue(
    uncertainty: Sequence[float] | npt.NDArray[np.floating],
    spacing_mm: float,
    count: int,
    seen: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the slices to look at, the most worthwhile first.

    The scan is dealt into as many equal parts as there are slices seen and to choose. Of each part where none was seen
    the most uncertain slice is chosen, less so the nearer it lies to one seen or chosen before; where nothing is
    uncertain, the middle of the part.

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
    unsure = np.nan_to_num(np.asarray(uncertainty, dtype=np.float64), nan=0.0)
    depth, taken = len(unsure), set(seen)
    parts = min(depth, count + len(taken))
    part_of = np.arange(depth) * parts // max(1, depth)
    from_middle = np.argsort(np.abs((np.arange(depth) + 0.5) * parts / max(1, depth) % 1 - 0.5), kind="stable")
    reach_mm = max(spacing_mm, depth * spacing_mm / (parts + 1) / 2)
    far = np.ones(depth)
    for index in taken:
        far = np.minimum(far, _novelty(depth, index, spacing_mm, reach_mm))
    chosen: list[int] = []
    while len(chosen) < min(count, depth - len(set(seen))):
        score = np.where(np.isin(part_of, part_of[list(taken)]), -1.0, unsure * far)
        best = int(from_middle[score[from_middle].argmax()])
        chosen.append(best)
        taken.add(best)
        far = np.minimum(far, _novelty(depth, best, spacing_mm, reach_mm))
    return tuple(chosen)


def _novelty(depth: int, index: int, spacing_mm: float, reach_mm: float) -> npt.NDArray[np.float64]:
    """Return, per slice, how little one slice says about it: 0 at that slice, near 1 from twice the reach on."""
    away_mm = np.abs(np.arange(depth) - index) * spacing_mm
    novelty: npt.NDArray[np.float64] = 1 - np.exp(-((away_mm / reach_mm) ** 2))
    return novelty
