"""Where a NIfTI file says its voxels are, and how far its several ways of saying so can be believed."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from napari_covseg.volume import Geometry

FORM_TOLERANCE_MM = 0.1
"""Two ways of saying where the voxels are disagree when a corner differs by more."""

SPACING_TOLERANCE = 1e-3
UNKNOWN_UNIT, MILLIMETRES = 0, 2
"""Codes in the last three bits of a header's xyzt_units."""


UNPLACED = (
    "{} does not say how the patient lies; left and right may be exchanged: check with the heart or the liver, or "
    "convert the DICOM series again."
)


def place_of(image: nib.Nifti1Image, name: str) -> tuple[Geometry, tuple[str, ...]]:
    """Return the grid of an image, and a sentence for everything about it that is doubtful.

    Raises
    ------
    ValueError
        If it is no place in space.
    """
    header = image.header
    try:
        geometry = Geometry(image.shape[:3], image.affine)
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be placed: {str(error)[0].lower()}{str(error)[1:-1]}; convert it again."
        ) from None
    has_sform, has_qform = bool(header["sform_code"] > 0), bool(header["qform_code"] > 0)
    if not (has_sform or has_qform):
        return geometry, (UNPLACED.format(f"{name} has neither sform nor qform: it"),)
    doubts = []
    if has_sform and has_qform and (apart_mm := _apart_mm(image, geometry)) > FORM_TOLERANCE_MM:
        doubts.append(f"{name} says twice where it is, {apart_mm:.1f} mm apart (sform and qform); the sform was used.")
    if not np.allclose(header.get_zooms()[:3], geometry.spacing_mm, rtol=SPACING_TOLERANCE):
        stated, used = (
            " × ".join(f"{mm:.3g}" for mm in each) for each in (header.get_zooms()[:3], geometry.spacing_mm)
        )
        doubts.append(f"{name} says its voxels are {stated} mm and places them {used} mm apart; the latter was used.")
    if int(header["xyzt_units"]) % 8 not in (UNKNOWN_UNIT, MILLIMETRES):
        doubts.append(f"{name} says its lengths are not in millimetres; they were taken for such.")
    return geometry, tuple(doubts)


def _apart_mm(image: nib.Nifti1Image, geometry: Geometry) -> float:
    try:
        other = Geometry(geometry.shape, image.header.get_qform())
    except (ValueError, nib.spatialimages.HeaderDataError):
        return float("inf")
    return float(np.abs(other.corners_mm() - geometry.corners_mm()).max())
