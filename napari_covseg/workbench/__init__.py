"""The application without its window: what is open, what runs, what was said."""

from napari_covseg.workbench.bench import Workbench
from napari_covseg.workbench.long_work import Tool
from napari_covseg.workbench.older_cases import OlderCases, can_rehearse_sample, older_cases
from napari_covseg.workbench.open_scan import Lungs, OpenScan, snapshot
from napari_covseg.workbench.requests import LearnRequest, SegmentRequest
from napari_covseg.workbench.words import checkpoint_title, gone, provenance_of

__all__ = [
    "LearnRequest",
    "Lungs",
    "OlderCases",
    "OpenScan",
    "SegmentRequest",
    "Tool",
    "Workbench",
    "can_rehearse_sample",
    "checkpoint_title",
    "gone",
    "older_cases",
    "provenance_of",
    "snapshot",
]
