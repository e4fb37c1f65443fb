"""Lessons of one scan become one, so that no slice both teaches and judges."""

from dataclasses import replace

import numpy as np
import pytest

from napari_covseg.training.lesson import Lesson, joined
from napari_covseg.training.neighbourhoods import are_neighbours, split
from napari_covseg.volume import Geometry, LabelMap, Volume


@pytest.fixture
def lesson():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (22, 8, 8)).astype(np.uint8)
    affine = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [-5, 0, 0, 0], [0, 0, 0, 1]])
    geometry = Geometry(labels.shape, affine)
    hu = rng.integers(-900, 100, labels.shape).astype(np.int16)
    return Lesson(Volume(hu, geometry, "a"), LabelMap(labels, geometry), tuple(range(12)), "home")


def of_a_bundle(lesson, reviewed):
    """The same scan as a bundle has it: other numbers on file, nothing on slices that were not reviewed."""
    truth = np.zeros_like(lesson.labels.values)
    truth[list(reviewed)] = lesson.labels.values[list(reviewed)]
    scan = replace(lesson.scan, hu=lesson.scan.hu.astype(np.float32), name="case-1")
    return Lesson(scan, replace(lesson.labels, values=truth), reviewed, "bundle")


def test_two_sessions_of_one_scan_teach_together_and_no_slice_has_a_neighbour_that_judges(lesson):
    whole = joined([lesson, of_a_bundle(lesson, tuple(range(8, 22)))])
    (one,) = whole
    assert one.reviewed == tuple(range(22))
    assert np.array_equal(one.labels.values, lesson.labels.values)
    (dealt,) = split(whole)
    assert dealt.held_out
    assert not any(are_neighbours(one, a, b) for a in dealt.taught for b in dealt.held_out)


def test_a_session_and_its_case_in_a_bundle_have_one_fingerprint(lesson):
    assert of_a_bundle(lesson, lesson.reviewed).sha256 == lesson.sha256
    assert of_a_bundle(lesson, lesson.reviewed[:-1]).sha256 != lesson.sha256


def test_two_truths_of_one_slice_are_refused_by_its_number(lesson):
    other = of_a_bundle(lesson, (11, 12))
    other.labels.values[11, 0, 0] = 3 - other.labels.values[11, 0, 0]
    with pytest.raises(ValueError, match=r"\(a and case-1\) differ on slice 12"):
        joined([lesson, other])


def test_lessons_of_other_classes_are_not_mixed(lesson):
    with pytest.raises(ValueError, match="different classes"):
        joined([lesson, replace(lesson, reviewed=(20,), annotated=frozenset({"effusion"}))])


def test_lessons_of_two_scans_stay_two(lesson):
    other = replace(lesson, scan=replace(lesson.scan, hu=lesson.scan.hu + 1))
    assert joined([lesson, other]) == (lesson, other)
