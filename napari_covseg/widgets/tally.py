"""How much every slice holds of each class, kept up to date by what changes: counting the scan per stroke is slow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_covseg.measure import millilitres_per_slice
from napari_covseg.review import Correction
from napari_covseg.volume import LabelMap


class Tally:
    """How much of each class every slice of a label map holds.

    Parameters
    ----------
    labels
        In reading order.
    """

    def __init__(self, labels: LabelMap) -> None:
        self._voxel_ml, self._scheme = labels.geometry.voxel_ml, labels.scheme
        ml = millilitres_per_slice(labels)
        self._voxels = {name: np.rint(each / self._voxel_ml).astype(np.int64) for name, each in ml.items()}

    @property
    def per_slice(self) -> dict[str, npt.NDArray[np.float64]]:
        """Millilitres of every slice, by class name."""
        return {name: voxels * np.float64(self._voxel_ml) for name, voxels in self._voxels.items()}

    @property
    def totals_ml(self) -> dict[str, float]:
        """Millilitres of the whole scan, by class name."""
        return {name: float(voxels.sum()) * self._voxel_ml for name, voxels in self._voxels.items()}

    @property
    def fullest_slice(self) -> int | None:
        """Index of the slice that holds most, or None where nothing is labelled."""
        voxels = np.sum(list(self._voxels.values()), axis=0)
        return int(voxels.argmax()) if voxels.any() else None

    def update(self, correction: Correction) -> None:
        """Count what a correction put in place of what."""
        slices = slice(correction.slices[0], correction.slices[-1] + 1)
        for each in self._scheme:
            gained, lost = (_per_slice(values == each.value) for values in (correction.after, correction.before))
            self._voxels[each.name][slices] += gained - lost


def _per_slice(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return how many voxels each slice of a mask has; NumPy counts whole slices ten times faster than along axes."""
    return np.array([np.count_nonzero(plane) for plane in mask], dtype=np.int64)
