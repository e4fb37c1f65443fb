"""Which reviewed slices judge a child instead of teaching it: none has a neighbour among those that teach.

Slices next to each other show the same lesion, so a slice whose neighbour was learned says little about what a child
makes of slices nobody corrected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_covseg.training.lesson import Lesson

NEIGHBOUR_MM = 10.0
"""Slices as close as this along the scan are neighbours, whatever they show; so are slices next to each other."""

ONE_LESION_MM = 20.0
"""So are slices as close as this whose lesions lie over each other."""

HELD_OUT_SHARE = 0.2
MOST_HELD_OUT = 40
"""More of one scan judge no better, and all of them are segmented twice."""

TEACHING_SHARE = 0.5
"""At least this share of the reviewed slices teaches, or none is held out."""


@dataclass(frozen=True, slots=True)
class Split:
    """The reviewed slices of one lesson: those that teach, those that judge, and those left out between them."""

    taught: tuple[int, ...]
    held_out: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Dealt:
    """Told when a fine-tuning begins: how many reviewed slices teach, and how many judge."""

    taught: int
    held_out: int


def split(lessons: Sequence[Lesson]) -> tuple[Split, ...]:
    """Return how each lesson's reviewed slices are dealt.

    Of every lesson with two slices or more a run of about a fifth is held out, with as few neighbours to leave out as
    can be, and with a lesion where there is one. Where no lesson can spare any, whole lessons are held out; a lone one
    teaches all it has, and nothing judges.
    """
    found = [_best(lesson) for lesson in lessons]
    if any(one.held_out for one in found) or len(lessons) < 2:
        return tuple(found)
    wanted = max(1, round(HELD_OUT_SHARE * sum(len(lesson.reviewed) for lesson in lessons)))
    for index, lesson in enumerate(lessons[:-1]):
        if wanted <= 0:
            break
        if lesson.reviewed:
            found[index] = Split((), lesson.reviewed)
            wanted -= len(lesson.reviewed)
    return tuple(found)


def are_neighbours(lesson: Lesson, one: int, other: int) -> bool:
    """Whether two slices of a lesson show much the same."""
    gap_mm = abs(one - other) * lesson.scan.geometry.spacing_mm[0]
    if abs(one - other) <= 1 or gap_mm <= NEIGHBOUR_MM:
        return True
    values = lesson.labels.values
    return gap_mm <= ONE_LESION_MM and bool(((values[one] > 0) & (values[other] > 0)).any())


def _best(lesson: Lesson) -> Split:
    """Return the split that holds out what judges best; without one, all teaches."""
    candidates = list(_candidates(lesson))
    classes = {index: frozenset(np.unique(lesson.labels.values[index]).tolist()) - {0} for index in lesson.reviewed}
    depth = lesson.scan.geometry.shape[0]
    return min(candidates, key=lambda found: _cost(found, classes, depth)) if candidates else Split(lesson.reviewed)


def _wanted(count: int) -> int:
    """Return how many of so many slices of a lesson judge."""
    return min(MOST_HELD_OUT, max(1, round(HELD_OUT_SHARE * count)))


def _candidates(lesson: Lesson) -> Iterator[Split]:
    reviewed, count = lesson.reviewed, len(lesson.reviewed)
    close = np.array([[are_neighbours(lesson, a, b) for b in reviewed] for a in reviewed]).reshape(count, count)
    wanted = _wanted(count)
    for size in sorted({max(1, wanted // 2), wanted, min(2 * wanted, MOST_HELD_OUT)}):
        for first in range(count - size + 1):
            held = np.zeros(count, bool)
            held[first : first + size] = True
            left = close[held].any(axis=0) & ~held
            taught = ~held & ~left
            if taught.sum() >= max(1, TEACHING_SHARE * count):
                yield Split(*(tuple(np.array(reviewed)[each].tolist()) for each in (taught, held, left)))


def _cost(found: Split, classes: Mapping[int, frozenset[int]], depth: int) -> tuple[float, ...]:
    """Return what speaks against a split, the weightiest first."""
    shown = len(frozenset[int]().union(*(classes[index] for index in found.held_out)))
    size_off = abs(len(found.held_out) - _wanted(len(classes)))
    middle_off = abs(2 * found.held_out[0] + 1 - depth)
    return (-min(1, shown), len(found.left_out) + size_off, -shown, middle_off)
