"""Rehearsal: bounded, and nobody who is asked about is rehearsed."""

from dataclasses import replace

import numpy as np
import pytest

from napari_covseg.io.cases import find_cases, read_case
from napari_covseg.jobs import Remark, drain
from napari_covseg.networks import load
from napari_covseg.training import rehearsal as room
from napari_covseg.training.rehearsal import OF_BEFORE, rehearsal, synthetic_sample
from napari_covseg.training.stacks import IGNORED
from napari_covseg.volume import Geometry, LabelMap

SLICES, PATCHES = load("res_att_unet"), load("covid_segnet")


@pytest.fixture
def many(tmp_path, write_picture):
    rng = np.random.default_rng(0)
    for patient in range(4):
        for number in range(30):
            labels = np.zeros((24, 24), np.uint8)
            labels[8:12, 8:12] = 4
            entry = {"patient": f"p{patient}", "annotated": ["infection"]}
            write_picture(
                tmp_path / "many", f"p{patient}-{number:02d}", rng.integers(0, 255, (24, 24)), labels, **entry
            )
    return find_cases([tmp_path / "many"])


def test_no_patient_is_on_both_sides_and_neither_is_large(many):
    found = drain(rehearsal(many, SLICES))
    rehearsed, asked = {s.patient for s in found.rehearsed}, {lesson.scan_sha256[:2] for lesson in found.asked}
    assert (rehearsed, asked) == ({"p0", "p2"}, {"p1", "p3"})
    assert sum(len(stack.grey) for stack in found.rehearsed) <= room.REHEARSED
    assert 0 < sum(len(lesson.reviewed) for lesson in found.asked) <= room.MOST_CASES
    assert {lesson.scan_sha256[:2] for lesson in found.recalled} <= rehearsed
    assert all(OF_BEFORE in stack.annotated for stack in found.rehearsed)


@pytest.mark.parametrize("spec", [SLICES, PATCHES])
def test_a_lone_patient_is_halved_and_no_slice_is_on_both_sides(spec):
    found = drain(rehearsal(synthetic_sample(), spec))
    (stack,), (lesson,) = found.rehearsed, found.asked
    if spec is PATCHES:
        learned = np.flatnonzero((stack.labels != IGNORED).any(axis=(1, 2))).tolist()
        assert max(learned) + 2 <= min(lesson.reviewed)
        assert np.ptp(lesson.reviewed) < 3 * len(lesson.reviewed)
    (recalled,) = found.recalled
    assert max(recalled.reviewed) + 2 <= min(lesson.reviewed)
    assert len(lesson.reviewed) <= room.ASKED
    assert all((lesson.labels.values[k] > 0).any() for k in lesson.reviewed)


@pytest.mark.parametrize(("slices", "rehearsed", "asked"), [([2, 3], 0, 2), ([1, 2, 3, 4], 1, 1)])
def test_a_few_slices_of_a_lone_patient_are_asked_about(slices, rehearsed, asked, cases):
    (case,) = [replace(one, slices=tuple(slices)) for one in find_cases([cases]) if one.name == "m1"]
    found = drain(rehearsal([case], SLICES))
    assert sum(len(stack.grey) for stack in found.rehearsed) == rehearsed
    assert sum(len(lesson.reviewed) for lesson in found.asked) == asked


@pytest.mark.parametrize("number", [0, 5])
def test_a_slice_that_there_is_not_is_refused(number, cases):
    (case,) = [replace(one, slices=(1, number)) for one in find_cases([cases]) if one.name == "m1"]
    with pytest.raises(ValueError, match="slices of m1 beyond its 4"):
        drain(rehearsal([case], SLICES))


def test_without_cases_there_is_nothing_to_rehearse():
    found = drain(rehearsal((), SLICES))
    assert (found.rehearsed, found.recalled, found.asked) == ((), (), ())


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_every_class_of_a_case_is_among_the_few_slices_that_are_taken(count):
    values = np.zeros((30, 4, 4), np.uint8)
    values[2:28, 0], values[20:23, 1] = 1, 2
    labels = LabelMap(values, Geometry(values.shape, np.diag([5.0, 1, 1, 1])))
    kept = room._spread(labels, range(30), count, together=False)
    assert len(kept) == len(set(kept)) == count
    assert sum(20 <= k < 23 for k in kept) >= min(count // 2, 1)
    assert all(2 <= k < 28 for k in kept)
    assert any(k < 20 for k in kept)


def test_a_scan_that_is_being_learned_is_left_out_in_every_copy_and_that_is_told(cases):
    among = find_cases([cases])
    scans = {one.name for one in among if not one.is_picture}  # two patients' by name, one scan
    same = read_case(next(one for one in among if not one.is_picture))[0].voxels_sha256
    told = []
    found = drain(rehearsal(among, SLICES, {same}), told.append)
    remarks = [each.words for each in told if isinstance(each, Remark)]
    assert {words.split(" is left out of the older cases")[0] for words in remarks} == scans
    used = {s.patient for s in found.rehearsed} | {lesson.scan_sha256 for lesson in (*found.asked, *found.recalled)}
    assert used
    assert not any(name.startswith(tuple(scans)) for name in used)
