"""Whether a label map belongs to a scan, and its way onto the scan's grid."""

from __future__ import annotations

import numpy as np

from napari_covseg.volume.geometry import Geometry
from napari_covseg.volume.labels import LabelMap
from napari_covseg.volume.resample import labels_on
from napari_covseg.volume.scan import Volume

MOST_OUTSIDE = 0.01
"""A label map that marks a larger share of its voxels outside a scan is of another one."""


def fitted(labels: LabelMap, scan: Volume) -> LabelMap:
    """Return the labels on the scan's grid; where they were on another, their notes say what became of them.

    Raises
    ------
    ValueError
        If they lie elsewhere in the patient.
    """
    if labels.geometry.same_grid(scan.geometry):
        return labels
    name = labels.provenance.source
    marked, outside = _marked(labels, scan.geometry)
    if outside > MOST_OUTSIDE * marked or not _touch(labels.geometry, scan.geometry):
        share = f"{100 * outside / marked:.0f} % of what {name} marks" if marked else name
        raise ValueError(f"{share} lies beside {scan.name}, in another place of the patient; choose its own scan.")
    notes = [f"{name} is on another grid than {scan.name} and was brought onto the scan's."]
    if outside:
        notes.append(f"{outside} of the {marked} voxels that {name} marks lie outside {scan.name} and were left out.")
    return labels_on(labels, scan.geometry).noted(*notes)


def _marked(labels: LabelMap, grid: Geometry) -> tuple[int, int]:
    """Return how many voxels are marked, and how many of these have their centre outside a grid."""
    to_grid = np.linalg.inv(grid.affine) @ labels.geometry.affine
    last = np.array(grid.shape) - 0.5
    marked = outside = 0
    for k in range(labels.geometry.shape[2]):
        in_plane = np.argwhere(labels.values[..., k])
        there = in_plane @ to_grid[:3, :2].T + to_grid[:3, 2] * k + to_grid[:3, 3]
        marked += len(in_plane)
        outside += int(((there < -0.5) | (there > last)).any(axis=1).sum())
    return marked, outside


def _touch(one: Geometry, two: Geometry) -> bool:
    one_mm, two_mm = one.corners_mm(), two.corners_mm()
    return not ((one_mm.max(axis=0) < two_mm.min(axis=0)).any() or (two_mm.max(axis=0) < one_mm.min(axis=0)).any())
