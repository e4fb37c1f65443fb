"""One door for scans and label maps: whatever the format, what is no chest CT stays outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_covseg.io import nifti
from napari_covseg.io.files import ITK_SUFFIXES
from napari_covseg.io.formats import KNOWN, format_of
from napari_covseg.io.hounsfield import checked, labels_in
from napari_covseg.io.label_values import known
from napari_covseg.io.stated import NOTHING, Stated, UnstatedError, is_spacing
from napari_covseg.volume import LESIONS, LUNGS, ClassScheme, LabelMap, Provenance, Volume, straightened

FARTHEST_MM = 10_000
"""No scan is further from the origin of its scanner."""

GREATEST_TILT_DEGREES = 0.5
"""Axes further than this from a right angle are the work of a tilted gantry."""


def read_volume(path: Path, stated: Stated = NOTHING) -> Volume:
    """Return a scan in Hounsfield units and its own voxel order; its notes tell what was doubtful or repaired.

    Parameters
    ----------
    path
        A NIfTI, NRRD or MetaImage file, a folder of DICOM slices (or a zipped one, or a multi-frame file), or PNG or
        JPEG slices.
    stated
        What the reader states beside.

    Raises
    ------
    UnstatedError
        If the reader must state something first.
    ValueError
        If nothing readable is there, or it is no chest CT; one sentence that names the path and the remedy.
    """
    return _accepted(_read(path, stated), path, stated)


def read_either(path: Path) -> Volume | LabelMap:
    """Return the scan at a path, or the label map, where its few whole values say that it is one.

    Raises
    ------
    ValueError
        As `read_volume`.
    """
    volume = _read(path, NOTHING)
    values = labels_in(volume.hu)
    if values is None:
        return _accepted(volume, path, NOTHING)
    scheme = LUNGS if max(values) <= 1 else LESIONS
    return LabelMap(volume.hu.astype("uint8"), volume.geometry, scheme, Provenance(source=path.name), volume.notes)


def read_labels(path: Path, scheme: ClassScheme = LESIONS) -> LabelMap:
    """Return the label map in a NIfTI, NRRD or MetaImage file; its notes tell what was doubtful about it.

    Raises
    ------
    ValueError
        If it is not a 3-D image of whole numbers 0…255, or none of the values that it marks is a class.
    """
    if path.suffix.lower() not in ITK_SUFFIXES:
        return known(nifti.read_labels(path, scheme), path.name)
    if not path.exists():
        raise ValueError(f"There is no file {path}; check the name.")
    from napari_covseg.io import itk

    return known(itk.read_labels(path, scheme), path.name)


def _read(path: Path, stated: Stated) -> Volume:
    if not path.exists():
        raise ValueError(f"There is no file or folder {path}; check the name.")
    try:
        if path.is_file():
            path.open("rb").close()  # libraries call a file damaged that they may not read
        return _by_format(path, stated)
    except MemoryError:
        raise ValueError(
            f"{path.name} does not fit into memory; close other programs, or use a larger machine."
        ) from None
    except PermissionError as error:
        raise ValueError(f"You may not read {error.filename}; ask its owner for the permission, or copy it.") from error


def _by_format(path: Path, stated: Stated) -> Volume:
    """Read with the library that the format needs; each is imported only then, since some take a while."""
    match format_of(path):
        case "NIfTI":
            return nifti.read_volume(path)
        case "NRRD" | "MetaImage":
            from napari_covseg.io import itk

            return itk.read_volume(path)
        case "PNG" | "JPEG":
            from napari_covseg.io.pictures import read_pictures

            return read_pictures(path, stated)
        case "DICOM":
            from napari_covseg.io import dicom

            return dicom.read_series(path, stated)
    if path.is_dir():
        raise ValueError(f"{path.name} holds no DICOM slices and no pictures; choose the folder of one CT series.")
    raise ValueError(f"{path.name} is none of {KNOWN}; export the scan as one of these.")


def plausible(scan: Volume, path: Path, stated: Stated = NOTHING) -> Volume:
    """Return the scan in Hounsfield units.

    Raises
    ------
    UnstatedError
        If it takes a window.
    ValueError
        If its lengths, its place or its numbers cannot be those of a chest CT.
    """
    if not is_spacing(scan.geometry.spacing_mm):
        shown = " × ".join(f"{mm:.3g}" for mm in scan.geometry.spacing_mm)
        raise ValueError(f"{path.name} has voxels of {shown} mm, which no CT has; convert it again with lengths in mm.")
    away_mm = float(np.abs(scan.geometry.corners_mm()).max())
    if away_mm > FARTHEST_MM:
        raise ValueError(
            f"{path.name} lies {away_mm:.3g} mm away from its scanner: its header is damaged; copy it again."
        )
    return checked(scan, path.name or scan.name, stated)


def _accepted(scan: Volume, path: Path, stated: Stated) -> Volume:
    """Return the scan, or refuse it if its lengths, its numbers or its axes cannot be those of a chest CT."""
    scan = plausible(scan, path, stated)
    tilt = scan.geometry.tilt_degrees
    if tilt <= GREATEST_TILT_DEGREES:
        return scan
    if not stated.straighten:
        raise UnstatedError(
            f"{path.name} was taken with the gantry tilted by {tilt:.1f}°: its slices do not stand above each other; "
            "open it straightened (--straighten), which resamples it.",
            "straighten",
        )
    return straightened(scan).noted(
        f"The gantry was tilted by {tilt:.1f}°: the slices were shifted upright by linear interpolation, and masks "
        "will lie on the new grid."
    )
