"""Millilitres, and how far two label maps agree."""

from napari_covseg.measure.agreement import SCORED, Agreement, agreement, agreements, scorable
from napari_covseg.measure.averages import FalseAlarm, Mean, case_mean, false_alarm, pooled, slice_mean
from napari_covseg.measure.distance import hd95_mm
from napari_covseg.measure.findings import Finding, findings
from napari_covseg.measure.overlap import SCORES, Overlap, overlap
from napari_covseg.measure.paired import PairedDifference, paired_difference
from napari_covseg.measure.quantity import (
    ClassQuantity,
    millilitres,
    millilitres_per_slice,
    percent_of_lung_involved,
    quantities,
)

__all__ = [
    "SCORED",
    "SCORES",
    "Agreement",
    "ClassQuantity",
    "FalseAlarm",
    "Finding",
    "Mean",
    "Overlap",
    "PairedDifference",
    "agreement",
    "agreements",
    "case_mean",
    "false_alarm",
    "findings",
    "hd95_mm",
    "millilitres",
    "millilitres_per_slice",
    "overlap",
    "paired_difference",
    "percent_of_lung_involved",
    "pooled",
    "quantities",
    "scorable",
    "slice_mean",
]
