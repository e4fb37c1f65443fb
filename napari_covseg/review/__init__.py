"""What a reader does with a proposal: corrections, marks, a signature, and a journal of it all."""

from napari_covseg.review.correction import Correction, difference
from napari_covseg.review.journal import Journal
from napari_covseg.review.session import SIGNED, Mark, ReviewSession

__all__ = ["SIGNED", "Correction", "Journal", "Mark", "ReviewSession", "difference"]
