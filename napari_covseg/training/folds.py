"""Cross-validation by patient: which patients are held out together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from napari_covseg.io.cases import Case
from napari_covseg.io.sentences import count as counted

FOLDS = 3


def held_out(cases: Sequence[Case], fold: int, count: int = FOLDS) -> frozenset[str]:
    """Return the patients of one fold, numbered from 1.

    Raises
    ------
    ValueError
        If there is no such fold, or there are fewer patients than folds.
    """
    if not 1 <= fold <= count:
        raise ValueError(f"There is no fold {fold} of {count}; they are numbered from 1.")
    return folds(cases, count)[fold - 1]


def folds(cases: Sequence[Case], count: int = FOLDS) -> tuple[frozenset[str], ...]:
    """Return the patients of every fold, from the patients' names and annotated classes alone.

    The patients annotated for the most classes are split in blocks, in the order of their names; the others are dealt
    out one by one, those annotated for more classes first, from the last fold backwards and round again.

    Parameters
    ----------
    cases
        All cases there are; a patient's cases may be annotated for different classes.
    count
        How many folds.

    Raises
    ------
    ValueError
        If there are fewer patients than folds.
    """
    known: dict[str, frozenset[str]] = defaultdict(frozenset)
    for case in cases:
        known[case.patient] |= case.annotated
    if len(known) < count:
        patients = counted(len(known), "patient")
        raise ValueError(f"{patients} cannot be split into {count} folds; one patient is never split.")
    ordered = sorted(known, key=lambda patient: (-len(known[patient]), sorted(known[patient]), patient))
    richest = [patient for patient in ordered if known[patient] == known[ordered[0]]]
    if len(richest) < count:
        richest = []
    dealt = [richest[len(richest) * i // count : len(richest) * (i + 1) // count] for i in range(count)]
    for turn, patient in enumerate(ordered[len(richest) :]):
        dealt[count - 1 - turn % count].append(patient)
    return tuple(frozenset(patients) for patients in dealt)
