"""What a reader does with a proposal: tools and their corrections, marks, a signature, and a journal of it all."""

from napari_covseg.review.before_after import CHANGES, changes, last_run, proposed
from napari_covseg.review.correction import Correction, difference
from napari_covseg.review.hu_range import BETWEEN_CLASSES_HU, PRESETS, HuRange
from napari_covseg.review.journal import Journal
from napari_covseg.review.lesions import Lesion, LesionTable
from napari_covseg.review.outline import Kernel
from napari_covseg.review.proposals import Proposals
from napari_covseg.review.scene import Scene
from napari_covseg.review.session import ReviewSession
from napari_covseg.review.signing import SIGNED, Mark, Signature
from napari_covseg.review.tools_between import copy_slice, interpolate
from napari_covseg.review.tools_brush import Tip, reachable, stroke, why_nothing
from napari_covseg.review.tools_classes import accept, relabel, relabel_by_hu, relabelling_by_hu
from napari_covseg.review.tools_grow import Growth, fill, grow
from napari_covseg.review.tools_shape import fill_holes, keep_largest, remove_islands, smooth, smoothing

__all__ = [
    "BETWEEN_CLASSES_HU",
    "CHANGES",
    "PRESETS",
    "SIGNED",
    "Correction",
    "Growth",
    "HuRange",
    "Journal",
    "Kernel",
    "Lesion",
    "LesionTable",
    "Mark",
    "Proposals",
    "ReviewSession",
    "Scene",
    "Signature",
    "Tip",
    "accept",
    "changes",
    "copy_slice",
    "difference",
    "fill",
    "fill_holes",
    "grow",
    "interpolate",
    "keep_largest",
    "last_run",
    "proposed",
    "reachable",
    "relabel",
    "relabel_by_hu",
    "relabelling_by_hu",
    "remove_islands",
    "smooth",
    "smoothing",
    "stroke",
    "why_nothing",
]
