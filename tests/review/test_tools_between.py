"""Between slices: shapes are interpolated in millimetres, and neighbours copied, over background only."""

import numpy as np
import pytest

from napari_covseg.review import copy_slice, interpolate

SPACING_MM = (5.0, 0.5, 1.0)
SHAPE = (9, 120, 60)
MIDDLE_MM = (30.0, 30.0)


def disc(radius_mm, middle_mm=MIDDLE_MM):
    rows, columns = np.ogrid[: SHAPE[1], : SHAPE[2]]
    return np.hypot(rows * 0.5 - middle_mm[0], columns * 1.0 - middle_mm[1]) <= radius_mm


@pytest.fixture
def cone(make_scene):
    """Discs of 6 and 18 mm on slices 1 and 7."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1][disc(6)] = 1
    labels[7][disc(18)] = 1
    return make_scene(labels=labels, spacing_mm=SPACING_MM)


def test_discs_between_two_discs_have_the_radius_between_in_millimetres(cone, after):
    correction = interpolate(cone, 4, 1)
    assert correction.title == "interpolate ground-glass opacity on slices 3–7"
    filled = after(cone, correction)
    for index in range(2, 7):
        radius_mm = 6 + 2 * (index - 1)
        assert (filled[index][disc(radius_mm - 1)] == 1).all()
        assert (filled[index][~disc(radius_mm + 1)] == 0).all()
    assert not filled[[0, 8]].any()


def test_a_shape_that_moves_is_met_half_way(make_scene, after):
    labels = np.zeros(SHAPE, np.uint8)
    labels[1][disc(10, (26, 26))] = 2
    labels[3][disc(10, (34, 34))] = 2
    scene = make_scene(labels=labels, spacing_mm=SPACING_MM)
    found = np.argwhere(after(scene, interpolate(scene, 2, 2))[2])
    assert np.allclose(found.mean(axis=0) * SPACING_MM[1:], MIDDLE_MM, atol=0.3)


def test_other_classes_in_between_stay(cone, after):
    cone.labels[4][disc(3)] = 2
    filled = after(cone, interpolate(cone, 4, 1))
    assert (filled[4][disc(3)] == 2).all()
    assert (filled[4][disc(10) & ~disc(3)] == 1).all()


@pytest.mark.parametrize(("index", "side", "other"), [(0, "above", "below"), (8, "below", "above")])
def test_a_slice_with_nothing_on_one_side_is_refused(cone, index, side, other):
    with pytest.raises(ValueError, match=f"painted {other} this slice but not {side} it; paint there too"):
        interpolate(cone, index, 1)


def test_a_class_that_is_nowhere_is_refused(cone):
    with pytest.raises(ValueError, match="No slice holds consolidation; paint it on two slices"):
        interpolate(cone, 4, 2)


def test_on_a_painted_slice_the_nearer_gap_beside_it_is_filled(cone, after):
    cone.labels[3][disc(10)] = 1
    filled = after(cone, interpolate(cone, 3, 1))
    assert filled[2].any()
    assert not filled[4:7].any()
    filled = after(cone, interpolate(cone, 7, 1))
    assert filled[4:7].any(axis=(1, 2)).all()
    assert not filled[2].any()


def test_a_painted_slice_without_a_gap_is_refused(make_scene):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5][:, disc(6)] = 1
    with pytest.raises(ValueError, match="no gap beside this slice"):
        interpolate(make_scene(labels=labels, spacing_mm=SPACING_MM), 3, 1)


def test_shapes_that_do_not_meet_are_refused(make_scene):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2][disc(4, (10, 10))] = 1
    labels[4][disc(4, (50, 50))] = 1
    with pytest.raises(ValueError, match="slices 3 and 5 do not meet in between"):
        interpolate(make_scene(labels=labels, spacing_mm=SPACING_MM), 3, 1)


def test_the_lesion_pointed_at_is_filled_though_another_lies_on_every_slice(make_scene, after):
    labels = np.zeros(SHAPE, np.uint8)
    elsewhere = disc(4, (10, 10))
    labels[:, elsewhere] = 1
    for index in (1, 7):
        labels[index][disc(8, (40, 40))] = 1
    scene = make_scene(labels=labels, spacing_mm=SPACING_MM)
    with pytest.raises(ValueError, match="no gap"):
        interpolate(scene, 1, 1)
    filled = after(scene, interpolate(scene, 1, 1, place=(1, 80, 40)))
    assert (filled[2:7][:, disc(7, (40, 40))] == 1).all()
    assert np.array_equal(filled[4] == 1, (filled[4] == 1) & (elsewhere | disc(9, (40, 40))))


@pytest.mark.parametrize("index", [1, 2, 3])
def test_who_stands_between_two_painted_slices_and_points_there_has_that_gap_filled(index, make_scene, after):
    labels = np.zeros((5, 96, 96), np.uint8)
    labels[:, 10:20, 10:20] = 1  # another lesion of the class, on every slice
    labels[[0, 4], 70:90, 30:50] = 1
    scene = make_scene(labels=labels, spacing_mm=SPACING_MM)
    filled = after(scene, interpolate(scene, index, 1, place=(index, 80, 40)))
    assert (filled[:, 70:90, 30:50] == 1).all()
    assert (filled == 1).sum() == 5 * (100 + 400)


def test_copying_paints_over_background_only(make_scene, after):
    labels = np.zeros(SHAPE, np.uint8)
    labels[3][disc(6)] = 1
    labels[3][disc(2)] = 2
    labels[4][disc(4)] = 3
    scene = make_scene(labels=labels, spacing_mm=SPACING_MM)
    copied = after(scene, copy_slice(scene, 4, -1))
    assert (copied[4][disc(4)] == 3).all()
    assert (copied[4][disc(6) & ~disc(4)] == 1).all()
    assert np.array_equal(np.delete(copied, 4, axis=0), np.delete(labels, 4, axis=0))
    assert copy_slice(scene, 2, 1).title == "copy from the slice below on slice 3"


def test_there_must_be_something_to_copy(make_scene):
    scene = make_scene()
    with pytest.raises(ValueError, match="slice above holds no lesion"):
        copy_slice(scene, 3, -1)
    with pytest.raises(ValueError, match="no slice above"):
        copy_slice(scene, 0, -1)
    with pytest.raises(ValueError, match="no slice below"):
        copy_slice(scene, 6, 1)
