"""From a scan to a proposed label map."""

from napari_covseg.inference.devices import chosen_device
from napari_covseg.inference.ensemble import Ensemble, lung_network, members_of, woken
from napari_covseg.inference.segmenter import Segmentation, Segmenter, SliceDone, segmenting

__all__ = [
    "Ensemble",
    "Segmentation",
    "Segmenter",
    "SliceDone",
    "chosen_device",
    "lung_network",
    "members_of",
    "segmenting",
    "woken",
]
