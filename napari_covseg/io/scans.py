"""One door for scans and label maps: the format is found from the path."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from napari_covseg.io import nifti
from napari_covseg.io.files import NIFTI_SUFFIXES
from napari_covseg.io.nifti import note_in, read_labels, write_labels
from napari_covseg.volume import Volume

__all__ = ["format_of", "note_in", "read_labels", "read_volume", "write_labels"]

DICOM_MAGIC = (128, b"DICM")
"""Offset and bytes that every DICOM file on disk carries."""


def format_of(path: Path) -> Literal["NIfTI", "DICOM"] | None:
    """Return what a path looks like, from a file's name or the first bytes of a folder's files; None if neither."""
    if path.is_dir():
        return "DICOM" if any(_is_dicom(file) for file in path.iterdir() if file.is_file()) else None
    return "NIfTI" if path.name.lower().endswith(NIFTI_SUFFIXES) else None


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
    if format_of(path) is None:
        raise ValueError(f"{path.name} is neither NIfTI (.nii, .nii.gz) nor a folder of DICOM slices.")
    return nifti.read_volume(path)


def _is_dicom(file: Path) -> bool:
    offset, magic = DICOM_MAGIC
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(len(magic)) == magic
    except OSError:
        return False
