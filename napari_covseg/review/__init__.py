"""What a reader does with a proposal: corrections, marks, a signature, and a journal of it all."""

from napari_covseg.review.correction import Correction, difference
from napari_covseg.review.journal import Journal
from napari_covseg.review.session import ReviewSession
from napari_covseg.review.signing import SIGNED, Mark, Signature

__all__ = ["SIGNED", "Correction", "Journal", "Mark", "ReviewSession", "Signature", "difference"]
