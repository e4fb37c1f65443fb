"""Millilitres per slice and class, kept up to date slice by slice: counting a whole scan per stroke is slow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_covseg.measure import millilitres_per_slice
from napari_covseg.review import Correction
from napari_covseg.volume import LabelMap, cropped


class Tally:
    """How much of each class every slice of a label map holds.

    Parameters
    ----------
    labels
        In reading order.
    """

    def __init__(self, labels: LabelMap) -> None:
        self.per_slice: dict[str, npt.NDArray[np.float64]] = millilitres_per_slice(labels)

    @property
    def totals_ml(self) -> dict[str, float]:
        """Millilitres of the whole scan, by class name."""
        return {name: float(ml.sum()) for name, ml in self.per_slice.items()}

    @property
    def fullest_slice(self) -> int | None:
        """Index of the slice that holds most, or None where nothing is labelled."""
        ml = np.sum(list(self.per_slice.values()), axis=0)
        return int(ml.argmax()) if ml.any() else None

    def update(self, labels: LabelMap, correction: Correction) -> None:
        """Count the slices again that a correction reached; the labels are those after it."""
        first, last = correction.slices[0], correction.slices[-1] + 1
        _, height, width = labels.geometry.shape
        slab = cropped(labels, (first, 0, 0), (last, height, width))
        for name, ml in millilitres_per_slice(slab).items():
            self.per_slice[name][first:last] = ml
