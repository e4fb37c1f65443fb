"""Which slice the reader should look at next: of every part of the scan the one where a network is least sure.

A first queue. The most uncertain slices of a scan lie side by side, often where there is no lesion at all (the bases of
the lungs), and a network may be sure and wrong: so each part of the scan has its turn, and parts are the longer the
surer it is there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from napari_covseg.volume import Geometry

BY_LENGTH, MOST_DOUBT = 0.25, 2.0
"""So much of a scan's parts goes by length, the rest by doubt, of which a slice counts at most so many times the mean:
no long stretch is passed over, however sure a network is there, and however unsure elsewhere."""

APART_MM = 20.0
"""Nearer than that two slices show the same lesions: neither could judge what the other taught."""

LEAST_DOUBT = 1e-3
"""So little lets distance decide between slices that are all doubted least."""

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
        From the nearest slice that was seen or is looked at; infinitely far where there is none.
    """

    index: int
    unsure_ml: float
    away_mm: float


def suggestion(
    uncertain_voxels: npt.NDArray[np.floating], geometry: Geometry, seen: Collection[int], here: Collection[int] = ()
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
    here
        The one she is looking at, which is not suggested.
    """
    chosen = first_queue(uncertain_voxels, geometry.spacing_mm[0], 1, seen, here)
    if not chosen:
        return None
    unsure = np.nan_to_num(uncertain_voxels)
    is_unsure = unsure[chosen[0]] > UNSURE_SHARE * unsure.max(initial=0.0)
    away_mm = min((abs(chosen[0] - index) * geometry.spacing_mm[0] for index in {*seen, *here}), default=inf)
    return Suggestion(chosen[0], float(unsure[chosen[0]]) * geometry.voxel_ml if is_unsure else 0.0, away_mm)


def first_queue(
    uncertainty: Sequence[float] | npt.NDArray[np.floating],
    spacing_mm: float,
    count: int,
    seen: Collection[int] = (),
    here: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the slices to look at, the most worthwhile first.

    The scan is dealt into as many parts as there are slices seen and to choose, the shorter the more is doubted there
    beyond what is doubted of every slice (docs/decisions/0018). Of each part where none was seen the most uncertain
    slice is chosen, less so the nearer it lies to one seen or chosen before; where nothing is uncertain, the middle of
    the part.

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
    here
        Others that are not chosen, and from which a choice had better lie away.

    Raises
    ------
    ValueError
        If the spacing is not positive.
    """
    if not spacing_mm > 0:
        raise ValueError(f"Slices lie a positive distance apart, not {spacing_mm} mm.")
    doubt = _beyond_the_least(np.asarray(uncertainty, dtype=np.float64))
    depth, taken = len(doubt), set(seen)
    parts = min(depth, count + len(taken))
    part_of, from_middle = _parts(doubt, parts)
    reach_mm = max(spacing_mm, depth * spacing_mm / (parts + 1) / 2)
    away_mm = _away_mm(depth, taken, spacing_mm)
    worth = (doubt + LEAST_DOUBT) * np.minimum(1.0, _away_mm(depth, here, spacing_mm) / reach_mm)
    chosen: list[int] = []
    while len(chosen) < min(count, depth - len({*seen, *here})):
        is_new = ~np.isin(part_of, part_of[list(taken)])
        score = 4.0 * (away_mm > APART_MM) + 2.0 * is_new + worth * np.minimum(1.0, away_mm / reach_mm)
        score[[*taken, *here]] = -1.0
        best = int(from_middle[score[from_middle].argmax()])
        chosen.append(best)
        taken.add(best)
        away_mm = np.minimum(away_mm, _away_mm(depth, (best,), spacing_mm))
    return tuple(chosen)


def _beyond_the_least(uncertainty: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how much more each slice is doubted than the least doubted, 1 for the most; 0 where nobody was asked."""
    asked = ~np.isnan(uncertainty)
    if not asked.any():
        return np.zeros(len(uncertainty))
    doubt = np.where(asked, uncertainty - uncertainty[asked].min(), 0.0)
    return doubt / (doubt.max() or 1.0)


def _parts(doubt: npt.NDArray[np.float64], parts: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return which part each slice belongs to, and all slices, those in the middle of a part first.

    A slice that is doubted as much as all of a part and more leaves some parts without any.
    """
    share = np.ones(len(doubt))
    if doubt.any():
        share = BY_LENGTH + (1 - BY_LENGTH) * np.minimum(doubt / doubt.mean(), MOST_DOUBT)
    place = (share.cumsum() - share / 2) * parts / max(1.0, share.sum())
    return place.astype(np.intp), np.argsort(np.abs(place % 1 - 0.5), kind="stable")


def _away_mm(depth: int, indices: Collection[int], spacing_mm: float) -> npt.NDArray[np.float64]:
    """Return how far each slice lies from the nearest of some; infinitely far where there are none."""
    away = np.abs(np.arange(depth, dtype=np.float64)[:, None] - np.array(list(indices), dtype=np.float64))
    nearest: npt.NDArray[np.float64] = away.min(axis=1, initial=inf) * spacing_mm
    return nearest
