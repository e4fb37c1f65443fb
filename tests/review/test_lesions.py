"""The table of lesions is what scipy counts, and stays so while the reader edits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_covseg.review import LesionTable, difference
from napari_covseg.volume import Geometry, Volume

SHAPE = (5, 6, 7)
SPACING_MM = (3.0, 1.0, 2.0)
SCAN = Volume(
    np.random.default_rng(0).integers(-900, 100, SHAPE, dtype=np.int16), Geometry(SHAPE, np.diag([*SPACING_MM, 1.0]))
)
maps = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 0, 0, 1, 2]))


def counted(labels):
    """Every lesion by brute force, largest first."""
    rows = []
    for value in (1, 2):
        numbers, count = ndimage.label(labels == value, np.ones((3, 3, 3)))
        for number in range(1, count + 1):
            mask = numbers == number
            slices = np.flatnonzero(mask.any(axis=(1, 2)))
            ml = mask.sum() * 6.0 / 1000
            rows.append((value, round(ml, 6), int(SCAN.hu[mask].sum(dtype=int)), slices[0], slices[-1]))
    return sorted(rows)


def told(table):
    return sorted(
        (e.value, round(e.ml, 6), round(e.mean_hu * e.ml * 1000 / 6.0), e.first, e.last) for e in table.lesions
    )


@given(maps)
def test_the_table_is_what_brute_force_counts(labels):
    table = LesionTable(labels, SCAN)
    assert told(table) == counted(labels)
    sizes = [each.ml for each in table.lesions]
    assert sizes == sorted(sizes, reverse=True)


@given(maps)
def test_the_place_to_go_is_in_the_lesion_on_the_slice_where_it_is_largest(labels):
    for lesion in LesionTable(labels, SCAN).lesions:
        numbers, _ = ndimage.label(labels == lesion.value, np.ones((3, 3, 3)))
        own = numbers == numbers[lesion.place]
        assert labels[lesion.place] == lesion.value
        assert round(own.sum() * 6.0 / 1000, 6) == round(lesion.ml, 6)
        on_slices = [ndimage.label(plane, np.ones((3, 3)))[0] for plane in own]
        areas = [np.bincount(each.ravel())[1:].max(initial=0) for each in on_slices]
        number = on_slices[lesion.place[0]][lesion.place[1:]]
        assert (on_slices[lesion.place[0]] == number).sum() == max(areas)


@given(st.lists(maps, min_size=2, max_size=4), st.integers(0, SHAPE[0] - 1))
def test_kept_up_to_date_it_is_the_table_made_anew(states, index):
    table = LesionTable(states[0], SCAN)
    labels = states[0]
    for state in states[1:]:
        edited = labels.copy()
        edited[index] = state[index]
        for after in (edited, state):
            correction = difference(labels, after, "brush", "brush")
            if correction is not None:
                table.update(after, correction)
                labels = after
            assert told(table) == counted(labels)


def test_nothing_painted_is_an_empty_table():
    assert LesionTable(np.zeros(SHAPE, np.uint8), SCAN).lesions == ()


@pytest.mark.parametrize("value", [1, 3])
def test_a_lesion_across_many_slices_is_one_row(value):
    labels = np.zeros(SHAPE, np.uint8)
    for index in range(SHAPE[0]):
        labels[index, index, index] = value
    (lesion,) = LesionTable(labels, SCAN).lesions
    assert (lesion.value, lesion.first, lesion.last) == (value, 0, 4)
    assert lesion.ml == pytest.approx(0.030)


@pytest.mark.parametrize("where", [(2, 3, 4), (2, 3), (2,), ()], ids=["voxel", "row", "slice", "all"])
def test_a_lesion_of_any_shape_is_counted_in_a_map_that_may_not_be_written(where):
    labels = np.zeros(SHAPE, np.uint8)
    labels[where] = 1
    labels.flags.writeable = False
    table = LesionTable(labels, SCAN)
    table.look_again(labels, range(SHAPE[0]))
    (lesion,) = table.lesions
    assert lesion.ml == pytest.approx(labels.sum() * 6.0 / 1000)
