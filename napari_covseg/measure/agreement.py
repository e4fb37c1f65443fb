"""How far a proposal and a reference agree on one case, class by class, each only where somebody looked for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from napari_covseg.measure.distance import Mask, hd95_mm
from napari_covseg.measure.overlap import Overlap, overlap
from napari_covseg.volume import Geometry, LabelMap

OPACITIES = ("ggo", "consolidation")
UNSPECIFIED = "infection"
LESION = "lesion"
LUNG = "lung"
SCORED = (LESION, "ggo", "consolidation", "effusion", LUNG)
"""What is scored, in the order it is told; ``lesion`` is any opacity, specified or not."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two masks of one class against each other, on one case.

    Parameters
    ----------
    per_slice
        Counts of every slice that counts.
    hd95_mm
        Distance of the surfaces; None where either mask is empty.
    voxel_ml
        Size of a voxel.
    """

    per_slice: tuple[Overlap, ...]
    hd95_mm: float | None
    voxel_ml: float

    @property
    def overlap(self) -> Overlap:
        """The counts of the whole case."""
        return sum(self.per_slice, Overlap())

    @property
    def is_present(self) -> bool:
        """Whether the reference contains the class."""
        return any(counts.is_present for counts in self.per_slice)

    @property
    def false_positive_ml(self) -> float:
        """How much was marked that the reference does not."""
        return self.overlap.false_positive * self.voxel_ml

    def scores(self) -> dict[str, float | None]:
        """Return the scores of the whole case by name, with ``hd95_mm``."""
        return {**self.overlap.scores(), "hd95_mm": self.hd95_mm}


def agreement(mask: Mask, reference: Mask, geometry: Geometry, slices: Sequence[int] | None = None) -> Agreement:
    """Return how far two masks (D, H, W) agree.

    Parameters
    ----------
    mask, reference
        On one grid.
    geometry
        That grid.
    slices
        Indices along axis 0 that count; None for all. Where only some do, surfaces are the outlines in each.
    """
    if slices is not None:
        counted = np.zeros((mask.shape[0], 1, 1), dtype=np.bool_)
        counted[list(slices)] = True
        mask, reference = mask & counted, reference & counted
    indices = range(mask.shape[0]) if slices is None else sorted(set(slices))
    return Agreement(
        tuple(overlap(mask[index], reference[index]) for index in indices),
        hd95_mm(mask, reference, geometry, in_plane=slices is not None),
        geometry.voxel_ml,
    )


def agreements(
    proposal: LabelMap,
    reference: LabelMap,
    *,
    known: Collection[str],
    annotated: Collection[str],
    lung: LabelMap | None = None,
    reference_lung: LabelMap | None = None,
    slices: Sequence[int] | None = None,
) -> dict[str, Agreement]:
    """Return the agreement of every class that can be scored, by name, in the order of `SCORED`.

    Parameters
    ----------
    proposal, reference
        On one grid, values of `LESIONS`. Voxels that the reference calls an opacity of unspecified type are taken for
        background on both sides where ground glass and consolidation are scored: they could be either.
    known
        Classes that whoever proposed can tell; a class it cannot is not scored, rather than scored 0.
    annotated
        Classes that whoever made the reference looked for.
    lung, reference_lung
        Lung masks; lung is scored where there are both.
    slices
        Indices along axis 0 that count; None for all.

    Raises
    ------
    ValueError
        If the grids differ.
    """
    grid = reference.geometry
    if not all(grid.same_grid(m.geometry) for m in (proposal, lung, reference_lung) if m is not None):
        raise ValueError("The proposal is not on the reference's grid.")
    found = {}
    for name in scorable(known, annotated):
        ours, theirs = _mask(proposal, name), _mask(reference, name)
        if name in OPACITIES:
            ours = ours & ~reference.where(UNSPECIFIED)
        found[name] = agreement(ours, theirs, grid, slices)
    if lung is not None and reference_lung is not None:
        found[LUNG] = agreement(lung.values > 0, reference_lung.values > 0, grid, slices)
    return found


def scorable(known: Collection[str], annotated: Collection[str]) -> tuple[str, ...]:
    """Return the lesion classes that one side can tell and the other looked for, ``lesion`` first."""

    def tells(names: Collection[str], name: str) -> bool:
        any_opacity = set(OPACITIES) <= set(names) or UNSPECIFIED in names
        return any_opacity if name == LESION else name in names

    return tuple(name for name in SCORED if name != LUNG and tells(known, name) and tells(annotated, name))


def _mask(labels: LabelMap, name: str) -> Mask:
    if name != LESION:
        return labels.where(name)
    values = [labels.scheme[opacity].value for opacity in (*OPACITIES, UNSPECIFIED)]
    mask: Mask = np.isin(labels.values, values)
    return mask
