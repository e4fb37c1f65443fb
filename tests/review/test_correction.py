"""A correction is a value with an inverse."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_covseg.review import Correction, difference

SHAPE = (3, 5, 4)
labels = arrays(np.uint8, SHAPE, elements=st.integers(0, 4))


@given(labels, labels)
def test_applying_and_taking_back_gives_the_original(before, after):
    correction = difference(before, after, "brush", "brush")
    if correction is None:
        assert np.array_equal(before, after)
        return
    work = before.copy()
    correction.applied_to(work)
    assert np.array_equal(work, after)
    correction.inverse().applied_to(work)
    assert np.array_equal(work, before)


@given(labels, labels)
def test_the_box_is_as_small_as_it_can_be(before, after):
    correction = difference(before, after, "brush", "brush")
    if correction is None:
        return
    changed = np.argwhere(before != after)
    assert correction.start == tuple(changed.min(axis=0))
    assert correction.before.shape == tuple(np.ptp(changed, axis=0) + 1)
    assert correction.voxels_changed == len(changed)


@given(labels, labels)
def test_the_journal_gives_back_what_it_was_given(before, after):
    correction = difference(before, after, "grow", "grow a lesion", group="g")
    if correction is None:
        return
    again = Correction.unpacked(
        correction.packed(), correction.start, correction.before.shape, correction.tool, correction.title, "g"
    )
    assert np.array_equal(again.before, correction.before)
    assert np.array_equal(again.after, correction.after)
    assert (again.start, again.tool, again.title, again.group) == (correction.start, "grow", "grow a lesion", "g")


def test_a_correction_for_another_state_is_refused_and_writes_nothing():
    before = np.zeros(SHAPE, np.uint8)
    after = before.copy()
    after[1, 2, 3] = 2
    correction = difference(before, after, "brush", "brush")
    elsewhere = before.copy()
    elsewhere[1, 2, 3] = 4
    with pytest.raises(ValueError, match="has changed"):
        correction.applied_to(elsewhere)
    assert elsewhere[1, 2, 3] == 4


def test_damaged_bytes_are_refused():
    with pytest.raises(ValueError, match="damaged"):
        Correction.unpacked(b"rubbish", (0, 0, 0), (1, 1, 1), "brush", "brush", "")


@given(labels, labels)
def test_a_journal_that_kept_voxels_as_they_are_is_still_read(before, after):
    kept = zlib.compress(before.tobytes() + after.tobytes())
    again = Correction.unpacked(kept, (0, 0, 0), SHAPE, "brush", "brush", "")
    assert np.array_equal(again.before, before)
    assert np.array_equal(again.after, after)


def test_a_large_solid_lesion_takes_little_room_and_noise_no_more_than_its_voxels():
    solid = np.zeros((40, 80, 80), np.uint8)
    solid[:, 10:70, 10:70] = 1
    assert len(Correction((0, 0, 0), solid, 2 * solid, "fill", "fill").packed()) < 1000
    noise = np.random.default_rng(0).integers(0, 255, (2, 20, 30, 30), dtype=np.uint8)
    packed = Correction((0, 0, 0), noise[0], noise[1], "brush", "brush").packed()
    assert len(packed) < 1.01 * noise.size
    again = Correction.unpacked(packed, (0, 0, 0), noise.shape[1:], "brush", "brush", "")
    assert np.array_equal(again.after, noise[1])


def test_runs_that_do_not_fill_the_box_are_refused():
    box = np.zeros((1, 4, 4), np.uint8)
    packed = Correction((0, 0, 0), box, box + 1, "brush", "brush").packed()
    with pytest.raises(ValueError, match="damaged"):
        Correction.unpacked(packed, (0, 0, 0), (1, 4, 5), "brush", "brush", "")


def test_part_of_a_map_knows_where_it_starts():
    before, after = np.zeros((1, 5, 4), np.uint8), np.ones((1, 5, 4), np.uint8)
    assert difference(before, after, "network", "n", first_slice=7).slices == range(7, 8)
