"""Which slices judge: none beside one that teaches, some with a lesion, and never too many."""

import time
from dataclasses import replace

import numpy as np
import pytest

from napari_covseg.training.lesson import Lesson
from napari_covseg.training.neighbourhoods import are_neighbours, split
from napari_covseg.volume import Geometry, LabelMap, Volume


def lesson_of(reviewed, depth=40, spacing_mm=5.0, bearing=range(40)):
    labels = np.zeros((depth, 8, 8), np.uint8)
    labels[[k for k in bearing if k < depth], 2:5, 2:5] = 1
    geometry = Geometry(labels.shape, np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [-spacing_mm, 0, 0, 0], [0, 0, 0, 1]]))
    return Lesson(Volume(np.zeros(labels.shape, np.float32), geometry), LabelMap(labels, geometry), reviewed, "a")


@pytest.mark.parametrize(
    ("spacing_mm", "bearing", "gap", "close"),
    [
        (5.0, (), 2, True),
        (5.0, (), 3, False),
        (5.0, range(40), 3, True),
        (5.0, range(40), 4, True),
        (5.0, range(40), 5, False),
        (25.0, (), 1, True),
        (25.0, range(40), 2, False),
    ],
)
def test_neighbours_are_near_or_show_one_lesion(spacing_mm, bearing, gap, close):
    assert are_neighbours(lesson_of((), spacing_mm=spacing_mm, bearing=bearing), 10, 10 + gap) is close


@pytest.mark.parametrize(
    "reviewed",
    [(3, 12, 20, 28, 36), tuple(range(10, 20)), tuple(range(40)), (1, 2, 3, 20, 21, 22, 38), (0, 39), tuple(range(12))],
)
def test_no_slice_that_judges_has_a_neighbour_that_teaches(reviewed):
    lesson = lesson_of(reviewed)
    (found,) = split([lesson])
    assert sorted((*found.taught, *found.held_out, *found.left_out)) == list(reviewed)
    assert not [(a, b) for a in found.taught for b in found.held_out if are_neighbours(lesson, a, b)]
    assert found.held_out
    assert len(found.taught) >= len(reviewed) / 2
    assert len(found.held_out) <= max(1, 0.4 * len(reviewed))


def test_five_hundred_are_dealt_at_once_and_no_more_than_forty_judge():
    lesson = lesson_of(tuple(range(500)), depth=520, spacing_mm=1.0, bearing=range(500))
    started = time.perf_counter()
    (found,) = split([lesson])
    assert time.perf_counter() - started < 20
    assert len(found.held_out) == 40
    assert len(found.taught) >= 400


def test_five_that_lie_apart_hold_out_one():
    (found,) = split([lesson_of((3, 12, 20, 28, 36))])
    assert (len(found.taught), len(found.held_out), len(found.left_out)) == (4, 1, 0)


def test_what_judges_bears_a_lesion_where_it_can():
    (found,) = split([lesson_of((2, 12, 22, 32), bearing=(32,))])
    assert found.held_out == (32,)


@pytest.mark.parametrize("reviewed", [(7,), (7, 8), (7, 8, 9)])
def test_too_few_or_too_close_all_teach(reviewed):
    (found,) = split([lesson_of(reviewed)])
    assert (found.taught, found.held_out) == (reviewed, ())


def test_of_many_sessions_with_a_slice_each_a_fifth_judges():
    lessons = [replace(lesson_of((7,)), scan_sha256=str(n)) for n in range(10)]
    found = split(lessons)
    assert sum(len(one.held_out) for one in found) == 2
    assert sum(len(one.taught) for one in found) == 8
    assert not any(one.held_out and one.taught for one in found)
