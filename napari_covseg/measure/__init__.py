"""Millilitres, and how far two label maps agree."""

from napari_covseg.measure.overlap import Overlap, overlap
from napari_covseg.measure.quantity import ClassQuantity, millilitres, millilitres_per_slice, quantities

__all__ = ["ClassQuantity", "Overlap", "millilitres", "millilitres_per_slice", "overlap", "quantities"]
