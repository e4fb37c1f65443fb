"""Which slices judge: none beside one that teaches, some with a lesion, and never too many."""

import time
from dataclasses import replace

import numpy as np
import pytest

from napari_covseg.networks.learned import Learned, Places, merged
from napari_covseg.training import neighbourhoods
from napari_covseg.training.lesson import Lesson
from napari_covseg.training.neighbourhoods import (
    LEARNED_BEFORE,
    TOO_CLOSE,
    are_neighbours,
    doubted,
    patients_of,
    split,
    why_nobody_judges,
)
from napari_covseg.volume import Geometry, LabelMap, Volume
from napari_covseg.volume.resample import cropped


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


@pytest.mark.parametrize("learned", [False, True])
def test_of_many_slices_only_those_that_may_be_neighbours_are_compared(learned, monkeypatch):
    lesson, asked = lesson_of(tuple(range(400)), depth=400, spacing_mm=2.0), []
    monkeypatch.setattr(neighbourhoods, "are_neighbours", lambda *pair: asked.append(pair) or are_neighbours(*pair))
    record = {lesson.scan.voxels_sha256: Learned.of(range(0, 400, 2))} if learned else {}
    split([lesson], record)
    assert 0 < len(asked) < 400 * 30  # of 160 000 pairs; 20 mm are ten slices either way


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


@pytest.mark.parametrize("shift_mm", [0.0, 15.0, 500.0])
def test_no_scan_of_a_patient_teaches_what_may_lie_beside_a_slice_of_another_that_judges(shift_mm):
    """The second scan begins elsewhere; by which way to count its slices lie beside the first's nobody can know."""
    slices = (2, 12, 20, 28, 37)
    first = replace(lesson_of(slices), patients=frozenset("p"))
    grid = first.scan.geometry.affine.copy()
    grid[2, 3] += shift_mm
    geometry = Geometry(first.scan.geometry.shape, grid)
    second = replace(first, scan=Volume(first.scan.hu + 1, geometry))
    ours, theirs = split([first, second])
    assert ours.held_out
    assert not theirs.held_out
    assert sorted((*theirs.taught, *theirs.left_out)) == list(slices)
    for held in ours.held_out:
        near = [k for k in slices if abs(held - k) * 5 <= 40 or abs((held - k) * 5 + shift_mm) <= 40]
        assert not set(near) & set(theirs.taught)
    assert theirs.taught
    strangers = split([first, replace(second, patients=frozenset("q"))])
    assert all(one.held_out for one in strangers)


def test_a_patients_second_scan_judges_where_the_first_cannot():
    alone, more = (replace(lesson_of(slices), patients=frozenset("p")) for slices in ((20,), (2, 12, 20, 28, 37)))
    more = replace(more, scan=Volume(more.scan.hu + 1, more.scan.geometry))
    first, second = split([alone, more])
    assert second.held_out
    assert set(first.taught) | set(first.left_out) == {20}


@pytest.mark.parametrize("patient", ["p", "q"])
def test_what_taught_an_ancestor_in_another_scan_of_the_patient_judges_in_none(patient):
    slices = (2, 12, 20, 28, 37)
    lesson = replace(lesson_of(slices), patients=frozenset("p"))
    other = replace(lesson, patients=frozenset(patient), scan=Volume(lesson.scan.hu + 1, lesson.scan.geometry))
    taught = Learned.of((19,)).in_patient({"p"}, Places.of(lesson.scan.geometry))
    (found,) = split([other], {lesson.scan.voxels_sha256: taught})
    assert found.barred == ((12, 20) if patient == "p" else ())
    assert not set(found.held_out) & set(found.barred)
    (nobody,) = split([other], {lesson.scan.voxels_sha256: taught.model_copy(update={"taught": None})})
    assert nobody.barred == (slices if patient == "p" else ())


@pytest.mark.parametrize(
    ("slices", "spacing_mm", "judged"), [(12, 1.25, False), (20, 1.0, False), (40, 0.7, False), (40, 5.0, True)]
)
def test_whether_a_lesson_can_be_judged_is_known_beforehand(slices, spacing_mm, judged):
    lesson = lesson_of(tuple(range(slices)), depth=60, spacing_mm=spacing_mm, bearing=range(60))
    assert doubted(lesson, {}) == ("" if judged else TOO_CLOSE)
    assert bool(split([lesson])[0].held_out) is judged


def test_a_patient_is_known_by_the_names_of_all_copies_of_a_scan():
    """A copy without the number, learned later, hides nothing: neither along the lineage nor from copy to copy."""
    slices = (2, 12, 20, 28, 37)
    lesson = lesson_of(slices)
    hu = np.random.default_rng(3).normal(-600, 200, lesson.scan.hu.shape).astype(np.float32)
    numbered = replace(lesson, scan=Volume(hu, lesson.scan.geometry), patients=frozenset({"number"}))
    unnumbered = replace(numbered, patients=frozenset({"scan"}))
    again = replace(numbered, scan=Volume(numbered.scan.hu + 1, numbered.scan.geometry))
    places, voxels = Places.of(numbered.scan.geometry), numbered.scan.voxels_sha256

    seen = Learned.of((19,)).in_patient({"number"}, places)
    later = merged({voxels: seen}, {voxels: Learned.of((3,)).in_patient({"scan"}, places)})
    assert patients_of([again], later) == (frozenset({"number", "scan"}),)
    (found,) = split([again], later)
    assert {12, 20} <= set(found.barred)

    box = (4, 0, 0), numbered.scan.geometry.shape
    cut = replace(unnumbered, scan=cropped(numbered.scan, *box), reviewed=(8,), labels=cropped(numbered.labels, *box))
    record = {voxels: Learned.of((19,), (), numbered.scan.slices_sha256).in_patient({"number"}, places)}
    assert patients_of([cut], record) == (frozenset({"number", "scan"}),)
    assert patients_of([numbered, cut], {}) == (frozenset({"number", "scan"}),) * 2
    stranger = replace(again, patients=frozenset({"other"}))
    assert patients_of([numbered, cut, stranger], record)[2] == {"other"}


def test_of_many_sessions_with_a_slice_each_a_fifth_judges():
    lessons = [replace(lesson_of((7,)), scan_sha256=str(n)) for n in range(10)]
    found = split(lessons)
    assert sum(len(one.held_out) for one in found) == 2
    assert sum(len(one.taught) for one in found) == 8
    assert not any(one.held_out and one.taught for one in found)


ROUNDS = [
    ((2, 5, 8, 11, 14), (2, 5, 8, 11, 14, 17, 20)),
    (tuple(range(0, 22, 4)), tuple(range(0, 22, 2)), tuple(range(22))),
    ((3, 8, 12, 17), (1, 3, 6, 8, 12, 15, 17, 20), tuple(range(22))),
    ((3, 12), (3, 12, 21), (3, 12, 21, 30, 39)),
]


def seen_in(lesson, found):
    return {lesson.scan.voxels_sha256: Learned.of(found.taught, found.held_out)}


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("bearing", [(), range(40), range(10, 20)])
def test_what_taught_any_ancestor_or_lies_beside_it_never_judges(rounds, bearing):
    record, taught = {}, set()
    for reviewed in rounds:
        lesson = lesson_of(reviewed, bearing=bearing)
        (found,) = split([lesson], record)
        taught |= set(found.taught)
        assert not [(a, b) for a in taught for b in found.held_out if are_neighbours(lesson, a, b)]
        assert sorted((*found.taught, *found.held_out, *found.left_out)) == list(reviewed)
        record = merged(record, seen_in(lesson, found))


def test_what_judged_an_ancestor_judges_again():
    first, second = lesson_of((2, 8, 14, 20, 26)), lesson_of((2, 8, 14, 20, 26, 32, 38))
    (before,) = split([first])
    (after,) = split([second], seen_in(first, before))
    assert len(before.held_out) == 1
    assert set(before.held_out) <= set(after.held_out)


def test_new_slices_far_from_what_was_learned_judge():
    (found,) = split([lesson_of((2, 8, 14, 30, 38))], {lesson_of(()).scan.voxels_sha256: Learned.of((2, 8, 14))})
    assert found.held_out
    assert set(found.held_out) <= {30, 38}
    assert found.barred == (2, 8, 14)


def test_that_all_was_learned_before_is_known_beforehand():
    lesson, scan = lesson_of((2, 8, 14, 20)), lesson_of(()).scan.voxels_sha256
    assert doubted(lesson, {scan: Learned.of((2, 8, 14, 20))}) == LEARNED_BEFORE
    assert doubted(replace(lesson, reviewed=(*lesson.reviewed, 30, 38)), {scan: Learned.of((2, 8, 14, 20))}) == ""
    assert doubted(lesson, {lesson.scan_sha256: Learned(taught=None)}) == LEARNED_BEFORE
    many = replace(lesson_of(tuple(range(120)), depth=200), reviewed=(*range(120), 160, 180))
    assert doubted(many, {many.scan.voxels_sha256: Learned.of(range(120))}) == ""


def test_where_all_was_learned_before_nobody_judges_and_it_says_why():
    lesson = lesson_of((2, 8, 14, 20))
    every = split([lesson], {lesson.scan.voxels_sha256: Learned.of((2, 8, 14, 20))})
    assert [(one.taught, one.held_out) for one in every] == [((2, 8, 14, 20), ())]
    assert why_nobody_judges(every) == LEARNED_BEFORE
    assert why_nobody_judges(split([lesson_of((7, 8))])) == TOO_CLOSE


@pytest.mark.parametrize("first", [0, 4, 12])
@pytest.mark.parametrize("rounds", ROUNDS)
def test_what_taught_an_ancestor_judges_in_no_cut_copy_of_the_scan(rounds, first):
    before, after = lesson_of(rounds[0]), lesson_of(rounds[-1])
    hu = np.random.default_rng(0).normal(0, 99, before.scan.hu.shape).astype(np.float32)
    before = replace(before, scan=replace(before.scan, hu=hu))
    (found,) = split([before])
    record = {before.scan.voxels_sha256: Learned.of(found.taught, found.held_out, before.scan.slices_sha256)}
    geometry = replace(after.scan.geometry, shape=(40 - first, 8, 8))
    copy = replace(
        after,
        scan=Volume(hu[first:], geometry),
        labels=LabelMap(after.labels.values[first:], geometry),
        reviewed=tuple(k - first for k in after.reviewed if k >= first),
    )
    (dealt,) = split([copy], record)
    judging = {k + first for k in dealt.held_out}
    assert not [(a, b) for a in found.taught for b in judging if are_neighbours(after, a, b)]


@pytest.mark.parametrize(("named", "judges"), [("a", False), ("b", True)])
def test_of_a_scan_that_an_old_card_names_nobody_knows_which_slices_taught(named, judges):
    (found,) = split([lesson_of((2, 12, 22, 32))], {named: Learned(taught=None)})
    assert bool(found.held_out) is judges


def test_of_sessions_with_a_slice_each_none_that_was_learned_before_judges():
    lessons = [replace(lesson_of((7,)), scan_sha256=str(n)) for n in range(10)]
    for n, lesson in enumerate(lessons):
        lesson.scan.hu[...] = n  # scans are told apart by their voxels
    record = merged(*(seen_in(one, split([one])[0]) for one in lessons[:7]))
    found = split(lessons, record)
    assert [index for index, one in enumerate(found) if one.held_out] == [7, 8]


@pytest.mark.parametrize(
    "made", [lambda hu: hu[..., ::-1], lambda hu: hu.clip(-1000, 100)], ids=["mirrored", "clipped"]
)
def test_what_taught_judges_in_no_copy_that_is_known_by_its_lungs(made):
    reviewed = (2, 6, 10, 14, 18, 22, 26, 30, 34, 38)
    hu = np.full((40, 48, 48), 200, np.float32)
    hu[:, 6:42, 6:42], hu[:, 10:40, 10:38] = 40, -800
    hu += np.random.default_rng(0).normal(0, 30, hu.shape)
    geometry = Geometry(hu.shape, lesson_of(()).scan.geometry.affine)
    labels = LabelMap(np.zeros(hu.shape, np.uint8), geometry)
    whole = Lesson(Volume(hu, geometry), labels, reviewed, "a")
    copy = Lesson(Volume(made(hu), geometry), labels, tuple(k + 1 for k in reviewed), "b")
    other = Lesson(Volume(hu[::-1] + 9, geometry), labels, copy.reviewed, "c")

    seen = {whole.scan.voxels_sha256: Learned.of(reviewed, (), whole.scan.slices_sha256)}
    assert not split([copy], seen)[0].held_out  # all of them lie beside what taught
    assert split([other], seen)[0].held_out
    first, second = split([whole, copy])
    assert first.held_out
    assert not second.held_out
    assert not [(a, b) for a in second.taught for b in first.held_out if are_neighbours(whole, a, b)]
