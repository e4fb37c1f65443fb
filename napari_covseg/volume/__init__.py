"""Voxels that know where in the patient they are."""

from napari_covseg.volume.fitting import fitted
from napari_covseg.volume.geometry import GRID_TOLERANCE_MM, READING_ORIENTATION, Geometry
from napari_covseg.volume.labels import LESIONS, LUNGS, SHORT_TITLES, ClassScheme, LabelClass, LabelMap, Provenance
from napari_covseg.volume.resample import AIR_HU, cropped, labels_on, reoriented, volume_on
from napari_covseg.volume.scan import Volume
from napari_covseg.volume.straighten import straightened

__all__ = [
    "AIR_HU",
    "GRID_TOLERANCE_MM",
    "LESIONS",
    "LUNGS",
    "READING_ORIENTATION",
    "SHORT_TITLES",
    "ClassScheme",
    "Geometry",
    "LabelClass",
    "LabelMap",
    "Provenance",
    "Volume",
    "cropped",
    "fitted",
    "labels_on",
    "reoriented",
    "straightened",
    "volume_on",
]
