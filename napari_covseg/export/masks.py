"""Corrected masks on the scan's own grid."""

from __future__ import annotations

from pathlib import Path

from napari_covseg.io import write_labels
from napari_covseg.volume import Geometry, LabelMap, labels_on


def export_nifti(labels: LabelMap, home: Geometry, case: str, folder: Path) -> Path:
    """Write labels as ``<case>_lesion.nii.gz`` on the scan's own grid, read back and compared.

    Parameters
    ----------
    labels
        On any grid of the scan, such as the reading order.
    home
        The scan file's own grid.
    case
        Name of the case.
    folder
        Where to; made if missing.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OSError
        If it cannot be written, or reads back otherwise.
    """
    return write_labels(labels_on(labels, home), folder / f"{case}_lesion.nii.gz")
