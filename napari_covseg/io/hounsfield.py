"""Whether numbers can be a chest in Hounsfield units, and what to make of voxels that hold none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.io import masks
from napari_covseg.io.hounsfield_body import doubt_about, is_without_order, why_no_hounsfield
from napari_covseg.io.stated import Stated, UnstatedError
from napari_covseg.io.stray import doubt_about_voxels
from napari_covseg.volume import AIR_HU, Volume

Voxels = npt.NDArray[Any]

MOST_LABELS = 5
"""Whole numbers 0…255 of at most this many different kinds are a label map."""

LEAST_DENSE_HU = -200
"""A chest holds lung, air or fat: something is less dense than this."""

GREY_WHITE = 255.0
STACKED = (
    "The slices do not say where they are: they were stacked by their numbers, the first at the apex, with the spacing "
    "that was stated; left and right are as in any axial CT."
)
"""The note of a scan whose place is the reader's word."""

WINDOWED = "were taken for the window"
"""What the note says of a scan whose Hounsfield units were made of grey values."""

WITHOUT_ORDER = "holds numbers that do not follow from one voxel to the next, as those of a picture do"

LEAST_COVERED = 2 / 3
"""A round field of view, or a slice turned a little, reaches over more of a square picture's rows and columns."""

MOST_PADDED = 0.7
"""Of a round field of view in a square picture, a fifth is padding."""

GREATEST_HU = 66000
"""Extended scales for metal end here, at 16 bits."""


def labels_in(voxels: Voxels) -> tuple[int, ...] | None:
    """Return the different values if the voxels look like a label map, None if they look like anything else."""
    if voxels.min() < 0 or voxels.max() > 255:
        return None
    present: set[float] = set()
    for plane in voxels.transpose(2, 1, 0):
        present |= set(np.unique(plane).tolist())
        if len(present) > MOST_LABELS or any(value != int(value) for value in present):
            return None
    return tuple(sorted(int(value) for value in present))


def checked(scan: Volume, name: str, stated: Stated) -> Volume:
    """Return the scan in Hounsfield units; grey values become such by the window that the reader states.

    A series without positions, whose spacing the reader vouches for (`Volume.notes` says so), is only doubted.

    Raises
    ------
    UnstatedError
        If it takes a window.
    ValueError
        If the numbers cannot be Hounsfield units of a chest.
    """
    low, high = float(scan.hu.min()), float(scan.hu.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{name} holds infinite values; convert it again from the scanner's own series.")
    if (values := labels_in(scan.hu)) is not None:
        listed = ", ".join(str(value) for value in values)
        raise ValueError(f"{name} is a label map (it holds only {listed}), not a scan; give the scan it belongs to.")
    if low >= 0 and high <= GREY_WHITE and (what := masks.why_a_mask(scan.hu)):
        raise ValueError(f"{name} {what}, not a scan; give the scan it belongs to.")
    is_windowed = any(WINDOWED in note for note in scan.notes)
    if low >= 0 and high <= GREY_WHITE and not is_windowed:
        if is_without_order(scan.hu):
            raise ValueError(f"{name} {WITHOUT_ORDER}, so it is no picture of anything; give the scanner's own series.")
        return _from_window(scan, name, stated.window_hu)
    if stated.window_hu is not None and not is_windowed:
        scan = scan.noted(f"{name} holds no grey values; the window that was stated was not used.")
    return _judged(scan, name, (low, high), stated.window_hu if is_windowed else None)


def _judged(scan: Volume, name: str, ends: tuple[float, float], window_hu: tuple[float, float] | None) -> Volume:
    """Return the scan if its values, from the least to the greatest, can be a chest's, with what is odd about them."""
    low, high = ends
    if is_without_order(scan.hu):
        scan = scan.noted(f"{name} {WITHOUT_ORDER}; look whether it shows a chest before you go on.")
    if window_hu is not None:
        if high - low < min(-LEAST_DENSE_HU, (window_hu[1] - window_hu[0]) / 2):
            raise ValueError(
                f"{name} shows only {low:g}…{high:g} HU in the stated window, which is no chest: its grey values lie "
                "in a small part of their bits; save it with 8 bits in that window."
            )
        no_lung = f"{name} shows no lung in this window: all that is less dense than {low:g} HU is black in it."
        return scan.noted(no_lung) if low > LEAST_DENSE_HU else scan
    is_out = low > LEAST_DENSE_HU or high > GREATEST_HU or high - low < -LEAST_DENSE_HU
    why = "" if is_out else why_no_hounsfield(scan.hu)
    if is_out or why:
        sentence = f"{name} holds values {low:g}…{high:g}, which are not Hounsfield units of a chest (air is −1000)"
        sentence += f": {why}" if why else ""
        if STACKED not in scan.notes:
            raise ValueError(f"{sentence}; convert it again with the rescale of its DICOM series.")
        return scan.noted(f"{sentence}: look, but do not measure, unless the window they show is stated.")
    scan = scan.noted(*doubt_about_voxels(scan.hu, scan.geometry, name))
    doubt = doubt_about(scan.hu)
    return scan.noted(f"{name} {doubt}; check that it is a chest in Hounsfield units.") if doubt else scan


def _from_window(scan: Volume, name: str, window_hu: tuple[float, float] | None) -> Volume:
    white, high = GREY_WHITE, float(scan.hu.max())
    if high <= GREY_WHITE / 2:
        if not 0.5 < high <= 1:
            raise ValueError(
                f"{name} holds values {float(scan.hu.min()):g}…{high:g}, and nothing says which is white; save it in "
                "Hounsfield units, or as grey values 0…255 or 0…1."
            )
        white = 1.0
    if window_hu is None:
        kind = "the grey values of an 8-bit picture" if white > 1 else "grey values 0…1"
        raise UnstatedError(
            f"{name} holds {kind}, not Hounsfield units; open the scanner's own series, or state the window that they "
            "show.",
            "window",
        )
    hu = windowed(scan.hu, window_hu, white)
    scan = scan.with_voxels(hu, scan.geometry).noted(window_note(name, window_hu, white))
    return _judged(scan, name, (float(hu.min()), float(hu.max())), window_hu)


def window_note(name: str, window_hu: tuple[float, float], white: float) -> str:
    """Return the sentence that goes with Hounsfield units made of grey values 0 to white."""
    low, high = window_hu
    return f"The grey values of {name} {WINDOWED} {low:g}…{high:g} HU, as stated (0 is black, {white:g} white)."


def aired(plane: Voxels, where: str) -> int:
    """Set what is outside the field of view (no number, out to the edge) to air, in place; return how many voxels.

    Raises
    ------
    ValueError
        If there are voxels without a number inside the field of view.
    """
    missing = np.isnan(plane)
    count = int(missing.sum())
    if count == 0:
        return 0
    regions, _ = ndimage.label(missing)
    edge = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    if count == plane.size or not np.isin(regions[missing], edge).all():
        raise ValueError(f"{where} has voxels without a number (NaN) inside the scan; convert the scan again.")
    if min((~missing).any(axis=axis).mean() for axis in (0, 1)) < LEAST_COVERED:
        raise ValueError(
            f"{where} has no numbers (NaN) in a straight-edged part of a slice, as of a scan of which a part is lost; "
            "convert it again, or crop it to what was scanned."
        )
    plane[missing] = AIR_HU
    return count


def windowed(grey: Voxels, window_hu: tuple[float, float], white: float) -> npt.NDArray[np.float32]:
    """Return the Hounsfield units of grey values 0…white that show a window."""
    low, high = window_hu
    hu = grey.astype(np.float32)
    hu *= np.float32((high - low) / white)
    hu += np.float32(low)
    return hu
