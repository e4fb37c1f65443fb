"""Where a NIfTI file says its voxels are, and how far its several ways of saying so can be believed."""

from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes

from napari_covseg.io.stated import is_spacing
from napari_covseg.volume import Geometry

FORM_TOLERANCE_MM = 0.1
"""Two ways of saying where the voxels are disagree when a corner differs by more."""

SPACING_TOLERANCE = 1e-3
UNKNOWN_UNIT, MILLIMETRES = 0, 2
MILLIMETRES_IN = {1: (1000.0, "metres"), 3: (0.001, "microns")}
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
    unit = int(header["xyzt_units"]) % 8
    scale, called = MILLIMETRES_IN.get(unit, (1.0, ""))
    if not is_spacing(tuple(mm * scale for mm in voxel_sizes(image.affine))):
        scale = 1.0  # who says metres there means millimetres, or what is no CT is refused as such
    try:
        geometry = Geometry(image.shape[:3], _scaled(image.affine, scale))
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be placed: {str(error)[0].lower()}{str(error)[1:-1]}; convert it again."
        ) from None
    converted = (f"{name} gives its lengths in {called}; they were converted to mm.",) if scale != 1 else ()
    has_sform, has_qform = bool(header["sform_code"] > 0), bool(header["qform_code"] > 0)
    if not (has_sform or has_qform):
        return geometry, (UNPLACED.format(f"{name} has neither sform nor qform: it"), *converted)
    doubts = []
    apart_mm = _apart_mm(image, geometry, scale) if has_sform and has_qform else 0.0
    if math.isinf(apart_mm):
        doubts.append(f"{name} says twice where it is, and the qform is no place at all; the sform was used.")
    elif apart_mm > FORM_TOLERANCE_MM:
        doubts.append(f"{name} says twice where it is, {apart_mm:.1f} mm apart (sform and qform); the sform was used.")
    stated_mm = np.asarray(header.get_zooms()[:3]) * scale
    if not np.allclose(stated_mm, geometry.spacing_mm, rtol=SPACING_TOLERANCE):
        stated, used = (" × ".join(f"{mm:.3g}" for mm in each) for each in (stated_mm, geometry.spacing_mm))
        doubts.append(f"{name} says its voxels are {stated} mm and places them {used} mm apart; the latter was used.")
    if scale == 1 and unit not in (UNKNOWN_UNIT, MILLIMETRES):
        doubts.append(f"{name} says its lengths are not in millimetres; they were taken for such.")
    return geometry, (*doubts, *converted)


def _scaled(affine: npt.NDArray[np.float64], scale: float) -> npt.NDArray[np.float64]:
    return affine if scale == 1 else np.diag([scale, scale, scale, 1]) @ affine


def _apart_mm(image: nib.Nifti1Image, geometry: Geometry, scale: float) -> float:
    """Return how far the qform's corners are from the others; infinitely if it is none."""
    try:
        other = Geometry(geometry.shape, _scaled(image.header.get_qform(), scale))
    except (ValueError, nib.spatialimages.HeaderDataError):
        return float("inf")
    return float(np.abs(other.corners_mm() - geometry.corners_mm()).max())
