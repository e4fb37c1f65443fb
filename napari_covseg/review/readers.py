"""How far two readers of one scan agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_covseg.measure.agreement import Agreement, agreements
from napari_covseg.review.session_facts import SessionFacts
from napari_covseg.volume import LESIONS, LabelMap


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


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one reader made of a scan, as it stood at one moment.

    Parameters
    ----------
    reader
        Whose it is.
    session
        What the session's folder is called.
    scan_sha256
        Which scan.
    reviewed
        Indices of the reviewed slices.
    labels
        A copy, which later corrections do not reach.
    """

    reader: str
    session: str
    scan_sha256: str
    reviewed: tuple[int, ...]
    labels: LabelMap


def reading_of(session: SessionFacts) -> Reading:
    """Return a session's reading as it stands now."""
    labels = session.labels
    still = labels.with_voxels(labels.values.copy(), labels.geometry)
    reader = session.begun_by or session.reader
    return Reading(reader, session.folder.name, session.scan_sha256, session.reviewed, still)


def agreement_of_readers(first: Reading, second: Reading) -> ReadersAgreement:
    """Return how far two readings of one scan agree, on the slices that both readers reviewed.

    Raises
    ------
    ValueError
        If they are of two scans, or no slice was reviewed by both.
    """
    if first.scan_sha256 != second.scan_sha256:
        raise ValueError(f"{first.session} and {second.session} are sessions of two scans; name two of one.")
    slices = tuple(sorted(set(first.reviewed) & set(second.reviewed)))
    if not slices:
        raise ValueError("The two readers have no reviewed slice in common; there is nothing to compare yet.")
    names = LESIONS.names
    classes = agreements(first.labels, second.labels, known=names, annotated=names, slices=slices)
    return ReadersAgreement((first.reader, second.reader), slices, classes)
