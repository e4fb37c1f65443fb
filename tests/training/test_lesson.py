"""Lessons of one scan become one, so that no slice both teaches and judges."""

from dataclasses import replace

import numpy as np
import pytest

from napari_covseg.io.cases import find_cases
from napari_covseg.io.pseudonyms import own_key, pseudonym
from napari_covseg.training.lesson import Lesson, joined, lesson_of_case
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


def cut(lesson, first, last, reviewed):
    """The same scan without its ends, under another name."""
    geometry = replace(lesson.scan.geometry, shape=(last - first, 8, 8))
    scan = Volume(lesson.scan.hu[first:last], geometry, "cut")
    return Lesson(scan, LabelMap(lesson.labels.values[first:last].copy(), geometry), reviewed, "cut")


def test_two_truths_of_one_slice_are_refused_in_a_cut_copy_too(lesson):
    copy = cut(lesson, 5, 20, (1, 4))
    assert joined([lesson, copy]) == (lesson, copy)
    copy.labels.values[4, 0, 0] = 3 - copy.labels.values[4, 0, 0]
    with pytest.raises(ValueError, match=r"\(a and cut\) differ on slice 10"):
        joined([lesson, copy])


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_scan_and_its_cut_copy_none_teaches_what_lies_beside_what_judges(lesson, order):
    copy = cut(lesson, 8, 22, tuple(range(14)))
    offsets = {id(lesson): 0, id(copy): 8}
    lessons = [lesson, copy][::order]
    dealt = split(joined(lessons))
    held, taught = (
        {k + offsets[id(one)] for one, part in zip(lessons, dealt, strict=True) for k in getattr(part, what)}
        for what in ("held_out", "taught")
    )
    assert held
    assert taught
    assert not any(are_neighbours(lesson, a, b) for a in taught for b in held)


def test_a_slice_of_each_of_two_copies_both_teach(lesson):
    lessons = [replace(lesson, reviewed=(10,)), cut(lesson, 8, 22, (3,))]
    assert [part.taught for part in split(lessons)] == [(10,), (3,)]


def test_lessons_of_two_scans_stay_two(lesson):
    other = replace(lesson, scan=replace(lesson.scan, hu=lesson.scan.hu + 1))
    assert joined([lesson, other]) == (lesson, other)


def test_of_two_copies_the_names_of_both_say_whose_the_scan_is(lesson):
    numbered, unnumbered = (replace(lesson, patients=frozenset({name})) for name in ("by number", "by scan"))
    for both in ([numbered, unnumbered], [unnumbered, numbered]):
        (whole,) = joined(both)
        assert whole.patients == {"by number", "by scan"}


@pytest.mark.parametrize(
    ("stated", "known_as"),
    [
        ("Jane Doe", lambda: pseudonym("patient", "Jane Doe")),
        ("patient-0123456789abcdef", lambda: "patient-0123456789abcdef"),  # as a bundle names them
        (None, str),
    ],
)
def test_a_case_is_of_the_patient_that_was_stated_by_a_name_that_tells_nothing(stated, known_as, write_case, tmp_path):
    labels, hu = np.zeros((3, 8, 8), np.uint8), np.linspace(-1000, 300, 192).reshape(3, 8, 8)
    entry = {} if stated is None else {"patient": stated}
    write_case(tmp_path / "cases", "one", hu, labels, annotated=["ggo"], **entry)
    (case,) = find_cases([tmp_path / "cases"])
    assert lesson_of_case(case).patients == set(filter(None, [known_as()]))


def test_learning_needs_no_key_that_is_kept_and_a_damaged_one_is_told(write_case, tmp_path, monkeypatch):
    labels, hu = np.zeros((3, 8, 8), np.uint8), np.linspace(-1000, 300, 192).reshape(3, 8, 8)
    write_case(tmp_path / "cases", "one", hu, labels, annotated=["ggo"], patient="Jane Doe")
    (case,) = find_cases([tmp_path / "cases"])
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("COVSEG_HOME", str(tmp_path / "a file"))
    assert lesson_of_case(case).patients == lesson_of_case(case).patients != frozenset()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "bundle.key").write_bytes(b"")
    monkeypatch.setenv("COVSEG_HOME", str(tmp_path / "home"))
    with pytest.raises(ValueError, match=r"bundle\.key is damaged"):
        own_key()
