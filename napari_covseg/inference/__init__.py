"""From a scan to a proposed label map."""

from napari_covseg.inference.devices import chosen_device
from napari_covseg.inference.segmenter import Segmentation, Segmenter, SliceDone, segmenting

__all__ = ["Segmentation", "Segmenter", "SliceDone", "chosen_device", "segmenting"]
