"""How much of each class there is: millilitres, share of the lung, mean Hounsfield units, components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.volume import LabelMap, Volume

CONNECTIVITY = np.ones((3, 3, 3), dtype=bool)
"""Components touch by face, edge or corner (26-connectivity)."""

BLOCK = 1 << 18
"""So many voxels are counted at once: they stay in the processor's cache."""

LUNG_LESIONS = ("ggo", "consolidation", "infection")
"""What makes lung diseased; effusion lies beside it."""


@dataclass(frozen=True, slots=True)
class ClassQuantity:
    """One class of one label map; shares and means are None where there is nothing to take them over."""

    ml: float
    percent_of_lung: float | None
    mean_hu: float | None
    components: int


def millilitres(labels: LabelMap) -> dict[str, float]:
    """Return the volume of every class of the scheme, by name, in millilitres."""
    voxels, voxel_ml = labels.values.ravel(order="K"), labels.geometry.voxel_ml
    blocks = [voxels[first : first + BLOCK] for first in range(0, voxels.size, BLOCK)]
    return {c.name: sum(np.count_nonzero(block == c.value) for block in blocks) * voxel_ml for c in labels.scheme}


def millilitres_per_slice(labels: LabelMap) -> dict[str, npt.NDArray[np.float64]]:
    """Return the volume per slice (axis 0) of every class, by name, each (D,) in millilitres."""
    planes = labels.values.reshape(labels.geometry.shape[0], -1)
    voxel_ml = labels.geometry.voxel_ml
    return {c.name: np.count_nonzero(planes == c.value, axis=1) * voxel_ml for c in labels.scheme}


def quantities(labels: LabelMap, scan: Volume, lung: LabelMap | None = None) -> dict[str, ClassQuantity]:
    """Return every class's quantities, by name.

    Parameters
    ----------
    labels, scan
        On one grid.
    lung
        Mask whose volume is 100 %; without one, shares are None.

    Raises
    ------
    ValueError
        If the grids differ.
    """
    for other, what in ((scan.geometry, "scan"), (lung.geometry if lung else labels.geometry, "lung mask")):
        if not labels.geometry.same_grid(other):
            raise ValueError(f"The label map is not on the {what}'s grid.")
    lung_voxels = int(np.count_nonzero(lung.values)) if lung else 0
    return {c.name: _quantity(labels, scan, c.name, lung_voxels) for c in labels.scheme}


def percent_of_lung_involved(found: Mapping[str, ClassQuantity]) -> float | None:
    """Return which share of the lung is diseased, from its quantities by class; None without a lung mask."""
    shares = [found[name].percent_of_lung for name in LUNG_LESIONS]
    return None if None in shares else sum(share for share in shares if share is not None)


def _quantity(labels: LabelMap, scan: Volume, name: str, lung_voxels: int) -> ClassQuantity:
    mask = labels.where(name)
    voxels = int(np.count_nonzero(mask))
    return ClassQuantity(
        ml=voxels * labels.geometry.voxel_ml,
        percent_of_lung=100.0 * voxels / lung_voxels if lung_voxels else None,
        mean_hu=float(scan.hu[mask].mean(dtype=np.float64)) if voxels else None,
        components=int(ndimage.label(mask, CONNECTIVITY)[1]) if voxels else 0,
    )
