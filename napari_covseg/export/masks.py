"""Corrected masks on the scan's own grid."""

from __future__ import annotations

from pathlib import Path

from napari_covseg.io import write_labels
from napari_covseg.volume import Geometry, LabelMap, labels_on


def mask_path(case: str, folder: Path) -> Path:
    """Return where the mask of a case goes in a folder."""
    return folder / f"{case}_lesion.nii.gz"


def export_nifti(labels: LabelMap, home: Geometry, case: str, folder: Path, *, overwrite: bool = False) -> Path:
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
    overwrite
        Replace a mask that is there already, which may be somebody's reference.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError
        If a file of that name is there and is not to be replaced.
    OSError
        If it cannot be written, or reads back otherwise.
    """
    path = mask_path(case, folder)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already and was kept; replace it on purpose, or choose another folder.")
    return write_labels(labels_on(labels, home), path)
