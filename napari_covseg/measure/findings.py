"""What about a label map a reader should look at once more: warnings, each with a place to go to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.measure.body import body, coarse, liver_side
from napari_covseg.measure.quantity import CONNECTIVITY
from napari_covseg.volume import LabelClass, LabelMap, Volume

Mask = npt.NDArray[np.bool_]
FindingKind = Literal["outside the body", "on one slice alone", "unlikely density", "sides exchanged", "hardly seen"]

PLAUSIBLE_HU = {
    "ggo": (-900, -150),
    "consolidation": (-350, 200),
    "effusion": (-70, 100),
    "infection": (-900, 200),
}
"""Wider than the presets of the brush by 50 HU, since single voxels are noisy."""

MOST_IMPLAUSIBLE = 1 / 3
"""A component of which a larger share lies outside that range is told."""

LEAST_SPILL_ML = 0.5
"""Implausible voxels that lie together in a component are told from here on, however large the rest is."""

NOT_A_RIM = np.ones((1, 3, 3), dtype=bool)
"""They count where they fill this much of a slice: the rim of a lesion, where it is averaged with air, does not."""

FEWEST_VOXELS = 3
"""Components smaller than this are not judged by their density."""

THIN_SLICES_MM = 3.0
"""Between slices further apart than this, a lesion that is narrower than their distance may well be on one alone."""

LEAST_EXCESS = -0.1
"""How much denser the patient's left may be where the liver should lie on the right."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at.

    Parameters
    ----------
    kind
        What sort of thing.
    place
        A voxel to go to, index in reading order.
    sentence
        What is odd, in the reader's words.
    ml
        How much it concerns; larger ones come first.
    """

    kind: FindingKind
    place: tuple[int, int, int]
    sentence: str
    ml: float = 0.0

    @property
    def slice_index(self) -> int:
        """The slice to go to, index from the apex."""
        return self.place[0]


def findings(labels: LabelMap, scan: Volume) -> tuple[Finding, ...]:
    """Return what is odd about a label map, by kind, the largest first.

    Parameters
    ----------
    labels, scan
        On one grid, in reading order.

    Raises
    ------
    ValueError
        If the grids differ.
    """
    if not labels.geometry.same_grid(scan.geometry):
        raise ValueError("The label map is not on the scan's grid.")
    found = [*_exchanged(scan), *_outside(labels, scan), *_density(labels, scan), *_islands(labels)]
    kinds = list(dict.fromkeys(finding.kind for finding in found))
    return tuple(sorted(found, key=lambda finding: (kinds.index(finding.kind), -finding.ml, finding.place)))


def _exchanged(scan: Volume) -> Iterator[Finding]:
    side = liver_side(scan)
    if side is None or side.excess > LEAST_EXCESS:
        return
    _, height, width = scan.geometry.shape
    yield Finding(
        "sides exchanged",
        (side.slice_index, height // 2, 3 * width // 4),
        f"Slice {side.slice_index + 1}: the liver seems to lie on the patient's left; the sides may be exchanged.",
    )


def _outside(labels: LabelMap, scan: Volume) -> Iterator[Finding]:
    """Yield every class on every slice that reaches more than a pixel of 3 mm beyond the skin."""
    for index in np.flatnonzero(labels.values.any(axis=(1, 2))).tolist():
        plane, step = coarse(scan.hu[index], scan.geometry.spacing_mm[1])
        near = ndimage.binary_dilation(body(plane), CONNECTIVITY[1])
        rows, columns = np.nonzero(labels.values[index])
        there = near[np.minimum(rows // step, near.shape[0] - 1), np.minimum(columns // step, near.shape[1] - 1)]
        rows, columns = rows[~there], columns[~there]
        values = labels.values[index, rows, columns]
        for each in labels.scheme:
            of_class = values == each.value
            if of_class.any():
                places = np.stack([np.full(of_class.sum(), index), rows[of_class], columns[of_class]], axis=1)
                ml = len(places) * labels.geometry.voxel_ml
                said = f"Slice {index + 1}: {_ml(ml)} of {each.title.lower()} lie outside the body."
                yield Finding("outside the body", _middle(places), said, ml)


def _islands(labels: LabelMap) -> Iterator[Finding]:
    """Yield every lesion that is on one slice only, where the scan has more, and the lesion should reach another."""
    if labels.geometry.shape[0] < 2:
        return
    apart_mm, row_mm, column_mm = labels.geometry.spacing_mm
    for places in _components(labels.values > 0, only_flat=True):
        wide_mm = 2 * np.sqrt(len(places) * row_mm * column_mm / np.pi)
        if apart_mm > THIN_SLICES_MM and wide_mm < apart_mm:
            continue
        index, ml = int(places[0, 0]), len(places) * labels.geometry.voxel_ml
        said = f"Slice {index + 1}: a lesion of {_ml(ml)} that is on this slice alone."
        yield Finding("on one slice alone", _middle(places), said, ml)


def _density(labels: LabelMap, scan: Volume) -> Iterator[Finding]:
    for each in labels.scheme:
        if each.name in PLAUSIBLE_HU:
            yield from _density_of(each, labels, scan)


def _density_of(label_class: LabelClass, labels: LabelMap, scan: Volume) -> Iterator[Finding]:
    low, high = PLAUSIBLE_HU[label_class.name]
    for places in _components(labels.where(label_class.name)):
        if len(places) < FEWEST_VOXELS:
            continue
        hu = scan.hu[tuple(places.T)]
        odd = (hu < low) | (hu > high)
        if odd.mean() <= MOST_IMPLAUSIBLE:
            yield from _spills(label_class, labels, scan, places[odd])
            continue
        place, ml = _middle(places[odd]), len(places) * labels.geometry.voxel_ml
        said = (
            f"Slice {place[0] + 1}: {_ml(ml)} of {label_class.title.lower()} at {np.median(hu):.0f} HU; "
            f"{odd.mean():.0%} of it lie outside {low} to {high} HU."
        )
        yield Finding("unlikely density", place, said, ml)


def _spills(label_class: LabelClass, labels: LabelMap, scan: Volume, places: npt.NDArray[np.intp]) -> Iterator[Finding]:
    """Yield where the implausible voxels (N, 3) of a sound lesion lie together, as where a brush ran into the lung."""
    if len(places) * labels.geometry.voxel_ml < LEAST_SPILL_ML:
        return
    low, high = PLAUSIBLE_HU[label_class.name]
    start = places.min(axis=0)
    odd = np.zeros(np.ptp(places, axis=0) + 1, dtype=bool)
    odd[tuple((places - start).T)] = True
    for part in _components(ndimage.binary_opening(odd, NOT_A_RIM)):
        ml = len(part) * labels.geometry.voxel_ml
        if ml >= LEAST_SPILL_ML:
            hu, place = scan.hu[tuple((part + start).T)], _middle(part + start)
            said = (
                f"Slice {place[0] + 1}: {_ml(ml)} in {label_class.title.lower()} lie together at {np.median(hu):.0f} "
                f"HU, outside {low} to {high} HU; the rest of the lesion does not."
            )
            yield Finding("unlikely density", place, said, ml)


def _components(mask: Mask, *, only_flat: bool = False) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the voxels (N, 3) of every component of a mask; of those on one slice alone, where asked."""
    where = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not where[0].size:
        return
    start = [int(each[0]) for each in where]
    box = tuple(slice(int(each[0]), int(each[-1]) + 1) for each in where)
    parts, _ = ndimage.label(mask[box], CONNECTIVITY)
    for number, part in enumerate(ndimage.find_objects(parts), start=1):
        if only_flat and part[0].stop - part[0].start > 1:
            continue
        yield np.argwhere(parts[part] == number) + [each.start for each in part] + start


def _middle(places: npt.NDArray[np.intp]) -> tuple[int, int, int]:
    """Return the voxel nearest to the middle of the slice that holds most of them."""
    fullest = np.bincount(places[:, 0]).argmax()
    there = places[places[:, 0] == fullest]
    distance = ((there - there.mean(axis=0)) ** 2).sum(axis=1)
    i, j, k = there[distance.argmin()].tolist()
    return i, j, k


def _ml(ml: float) -> str:
    return f"{ml:.1f} mL" if ml >= 0.1 else f"{ml * 1000:.0f} mm³"
