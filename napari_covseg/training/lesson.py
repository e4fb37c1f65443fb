"""What a reader's session, or a case of a bundle, has to teach: its reviewed slices and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_covseg.io.cases import Case, read_case
from napari_covseg.io.pseudonyms import patient_of_case
from napari_covseg.networks import NetworkSpec
from napari_covseg.review.fingerprint import LOOKED_FOR, reviewed_sha256
from napari_covseg.training.stacks import Stack, stack_of
from napari_covseg.volume import LabelMap, Volume
from napari_covseg.volume.copies import of_voxels


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What one session has to teach.

    Parameters
    ----------
    scan, labels
        In reading order; the labels are a copy that later edits do not reach.
    reviewed
        Indices of the reviewed slices.
    scan_sha256
        Which scan it was.
    annotated
        Classes somebody looked for on the reviewed slices.
    patients
        Names of whose scan it is, where that is known; scans of one patient show the same lesions.
    """

    scan: Volume
    labels: LabelMap
    reviewed: tuple[int, ...]
    scan_sha256: str
    annotated: frozenset[str] = frozenset(LOOKED_FOR)
    patients: frozenset[str] = frozenset()

    @property
    def sha256(self) -> str:
        """Fingerprint of what is taught: the scan, which slices, their labels, what was looked for."""
        return reviewed_sha256(self.scan, self.labels, self.reviewed, self.annotated)

    @property
    def unreviewed(self) -> tuple[int, ...]:
        """Indices of the slices nobody said anything about."""
        return tuple(sorted(set(range(self.scan.geometry.shape[0])) - set(self.reviewed)))


def lesson_of_case(case: Case) -> Lesson:
    """Return what an annotated case teaches, as `export.bundle` writes one.

    Raises
    ------
    ValueError
        If it cannot be read, or names slices that it does not have.
    """
    scan, labels, _ = read_case(case)
    reviewed, known = case.indices(scan.geometry.shape[0]), case.annotated - {"lung"}
    return Lesson(scan, labels, reviewed, scan.sha256, known, frozenset(filter(None, [patient_of_case(case)])))


def joined(lessons: Sequence[Lesson]) -> tuple[Lesson, ...]:
    """Return lessons of which no two are of one scan: those that are become one, so that no slice teaches and judges.

    Scans are told apart by their voxels, since a scan and its copy in a bundle are different files. Copies that were
    cut or changed stay apart; `neighbourhoods.split` deals them together.

    Raises
    ------
    ValueError
        If two say different things of one slice, or of one scan were looked over for different classes.
    """
    of_scan: dict[str, Lesson] = {}
    for lesson in lessons:
        known = of_scan.get(lesson.scan.voxels_sha256)
        of_scan[lesson.scan.voxels_sha256] = lesson if known is None else _both(known, lesson)
    whole = tuple(of_scan.values())
    if len(whole) > 1:
        _refuse_two_truths(whole)
    return whole


def _refuse_two_truths(lessons: Sequence[Lesson]) -> None:
    """Refuse copies of one scan that say different things of a slice that they share."""
    said: dict[str, tuple[Lesson, int]] = {}
    for lesson in lessons:
        for index in lesson.reviewed:
            fingerprint = of_voxels(lesson.scan.slices_sha256[index])
            other, there = said.setdefault(fingerprint, (lesson, index))
            both = lesson.labels.values[index], other.labels.values[there]
            if fingerprint and other is not lesson and not np.array_equal(*both):
                raise _two_truths(_names(other, lesson), there)


def _both(one: Lesson, other: Lesson) -> Lesson:
    """Return what two lessons of one scan teach together."""
    names = _names(one, other)
    if one.annotated != other.annotated:
        raise ValueError(
            f"Two sessions of one scan ({names}) were looked over for different classes; give one of them."
        )
    mine, theirs = one.labels.values, other.labels.values
    for index in sorted(set(one.reviewed) & set(other.reviewed)):
        if not np.array_equal(mine[index], theirs[index]):
            raise _two_truths(names, index)
    values = mine.copy()
    values[list(other.reviewed)] = theirs[list(other.reviewed)]
    reviewed = tuple(sorted({*one.reviewed, *other.reviewed}))
    labels, patients = replace(one.labels, values=values), one.patients | other.patients
    return replace(one, labels=labels, reviewed=reviewed, patients=patients)


def _names(one: Lesson, other: Lesson) -> str:
    return one.scan.name if one.scan.name == other.scan.name else f"{one.scan.name} and {other.scan.name}"


def _two_truths(names: str, index: int) -> ValueError:
    return ValueError(
        f"Two sessions of one scan ({names}) differ on slice {index + 1}, which both say is reviewed; "
        "give the one that is right."
    )


def stack_of_lesson(lesson: Lesson, spec: NetworkSpec, slices: Sequence[int] | None = None) -> Stack:
    """Return a lesson as a network sees it; on slices that were not reviewed nobody looked at anything.

    Parameters
    ----------
    lesson
        What is taught.
    spec
        The network.
    slices
        Of the reviewed slices, those to teach; None for all.
    """
    return stack_of(
        lesson.scan,
        lesson.labels,
        None,
        spec,
        annotated=lesson.annotated,
        case=lesson.scan.name,
        patient=lesson.scan_sha256,
        slices=lesson.reviewed if slices is None else slices,
    )
