"""Whether a scan can be what it claims (axial slices of a chest, in Hounsfield units), and a lung mask the lung."""

from __future__ import annotations

import numpy as np

from napari_covseg.measure.quantity import LUNG_LESIONS
from napari_covseg.volume import LabelMap, Volume

THICKER = 1.2
"""The axis whose spacing is larger than the others' by this factor is the one the slices are stacked along."""

LEAST_AIR_HU = -500
LEAST_BONE_HU = 300
MOST_OUTSIDE_LUNG = 0.5
"""Of opacities in the lung; masks that leave dense consolidation out are common."""


def hu_range(scan: Volume) -> tuple[float, float]:
    """Return the least and the greatest Hounsfield unit."""
    return float(scan.hu.min()), float(scan.hu.max())


def doubts(scan: Volume) -> tuple[str, ...]:
    """Return a sentence for everything about a scan that a network or a reader may stumble over."""
    return (*scan.notes, *_doubts_about_position(scan), *_doubts_about_hu(*hu_range(scan)))


def doubts_about_lung(lesions: LabelMap, lung: LabelMap) -> tuple[str, ...]:
    """Return a sentence where most of the opacities lie outside a lung mask on the same grid."""
    opacity = np.isin(lesions.values, [lesions.scheme[name].value for name in LUNG_LESIONS])
    if not opacity.any():
        return ()
    outside = float((lung.values[opacity] == 0).mean())
    if outside <= MOST_OUTSIDE_LUNG:
        return ()
    return (f"{100 * outside:.0f} % of the opacities lie outside the lung mask; check that both are of this scan.",)


def _doubts_about_position(scan: Volume) -> list[str]:
    geometry = scan.geometry
    sentences = []
    *_, second, thickest = sorted(geometry.spacing_mm)
    direction = geometry.orientation[geometry.spacing_mm.index(thickest)]
    if thickest > THICKER * second and direction not in "IS":
        plane = "sagittal" if direction in "LR" else "coronal"
        sentences.append(f"The slices are {plane}, not axial; the networks know axial slices only.")
    if geometry.is_oblique:
        sentences.append("The slices are oblique; they are shown along the nearest axes of the patient.")
    return sentences


def _doubts_about_hu(low: float, high: float) -> list[str]:
    if low >= 0 and high <= 255:
        return [f"The values {low:g}…{high:g} look like an 8-bit picture, not Hounsfield units."]
    if low >= 0:
        return [f"The values {low:g}…{high:g} look like stored numbers without the rescale to Hounsfield units."]
    if low > LEAST_AIR_HU:
        return [f"The values {low:g}…{high:g} hold no air; they may not be Hounsfield units of a chest."]
    if high < LEAST_BONE_HU:
        return [f"The values end at {high:g} HU, as if a window had been saved; bone and dense vessels are cut off."]
    return []
