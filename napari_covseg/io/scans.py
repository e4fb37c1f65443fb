"""One door for scans and label maps: the format is found from the path."""

from __future__ import annotations

from pathlib import Path

from napari_covseg.io import nifti
from napari_covseg.io.files import NIFTI_SUFFIXES
from napari_covseg.io.nifti import read_labels, write_labels
from napari_covseg.volume import Volume

__all__ = ["read_labels", "read_volume", "write_labels"]


def read_volume(path: Path) -> Volume:
    """Return the scan in a NIfTI file or a folder of DICOM slices, in Hounsfield units and its own voxel order.

    Raises
    ------
    ValueError
        If nothing readable is there; one sentence that names the path and the remedy.
    """
    if path.is_dir():
        from napari_covseg.io import dicom  # pydicom is heavy and most scans are NIfTI

        return dicom.read_series(path)
    if not path.exists():
        raise ValueError(f"There is no file or folder {path}; check the name.")
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise ValueError(f"{path.name} is neither NIfTI (.nii, .nii.gz) nor a folder of DICOM slices.")
    return nifti.read_volume(path)
