"""How far two readers of one scan agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_covseg.measure.agreement import Agreement, agreements
from napari_covseg.review.session_facts import SessionFacts
from napari_covseg.volume import LESIONS


@dataclass(frozen=True, slots=True)
class ReadersAgreement:
    """Two readings of one scan against each other.

    Parameters
    ----------
    readers
        Who.
    slices
        Indices of the slices that both reviewed; nothing else is compared.
    classes
        Agreement by class, ``lesion`` (any opacity) first; the second reading is the reference.
    """

    readers: tuple[str, str]
    slices: tuple[int, ...]
    classes: Mapping[str, Agreement]


def agreement_of_readers(first: SessionFacts, second: SessionFacts) -> ReadersAgreement:
    """Return how far two sessions of one scan agree, on the slices that both readers reviewed.

    Raises
    ------
    ValueError
        If the sessions are of two scans, or no slice was reviewed by both.
    """
    if first.scan_sha256 != second.scan_sha256:
        raise ValueError(f"{first.folder.name} and {second.folder.name} are sessions of two scans; name two of one.")
    slices = tuple(sorted(set(first.reviewed) & set(second.reviewed)))
    if not slices:
        raise ValueError("The two readers have no reviewed slice in common; there is nothing to compare yet.")
    readers = (first.begun_by or first.reader, second.begun_by or second.reader)
    names = LESIONS.names
    classes = agreements(first.labels, second.labels, known=names, annotated=names, slices=slices)
    return ReadersAgreement(readers, slices, classes)
