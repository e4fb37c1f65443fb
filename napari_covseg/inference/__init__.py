"""From a scan to a proposed label map."""

from napari_covseg.inference.devices import chosen_device
from napari_covseg.inference.ensemble import Ensemble, members_of, woken
from napari_covseg.inference.segmenter import Segmentation, Segmenter, SliceDone, segmenting

__all__ = [
    "Ensemble",
    "Segmentation",
    "Segmenter",
    "SliceDone",
    "chosen_device",
    "members_of",
    "segmenting",
    "woken",
]
