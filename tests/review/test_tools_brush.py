"""The brushes keep their promise in millimetres, Hounsfield units and lungs."""

from dataclasses import replace

import numpy as np
import pytest

from napari_covseg.review import HuRange, Tip, stroke
from napari_covseg.review.hu_range import PRESETS, SMOOTHING_MM, smoothed_hu
from napari_covseg.volume import LESIONS

SPACING_MM = (3.0, 1.0, 2.0)
CENTRE = (3, 10, 12)
GGO = Tip(1, 10.0)


def millimetres_from(centre, shape):
    index = np.indices(shape).reshape(3, -1).T - centre
    return np.linalg.norm(index * SPACING_MM, axis=1).reshape(shape)


@pytest.mark.parametrize("diameter_mm", [0.5, 2.0, 10.0, 14.4])
def test_a_dab_is_a_disc_in_millimetres_on_one_slice(make_scene, after, diameter_mm):
    scene = make_scene().on_slice(3)
    painted = after(scene, stroke(scene, [CENTRE], replace(GGO, diameter_mm=diameter_mm)))
    expected = millimetres_from(CENTRE, painted.shape) <= diameter_mm / 2
    expected[[0, 1, 2, 4, 5, 6]] = False
    assert np.array_equal(painted, expected.astype(np.uint8))


@pytest.mark.parametrize(("diameter_mm", "reached"), [(6.0, True), (5.9, False)])
def test_a_ball_reaches_the_next_slice_when_its_radius_does(make_scene, after, diameter_mm, reached):
    scene = make_scene()
    painted = after(scene, stroke(scene, [CENTRE], replace(GGO, diameter_mm=diameter_mm)))
    assert bool(painted[4, 10, 12]) is reached
    assert np.array_equal(painted, (millimetres_from(CENTRE, painted.shape) <= diameter_mm / 2).astype(np.uint8))


def test_on_a_coronal_slice_only_that_slice_is_painted(make_scene, after):
    scene = make_scene().on_slice(10, axis=1)
    painted = after(scene, stroke(scene, [CENTRE], GGO))
    assert set(np.argwhere(painted)[:, 1]) == {10}
    assert painted[4, 10, 12]
    assert painted[3, 10, 14]


def test_a_path_is_all_that_lies_near_its_line(make_scene, after):
    scene = make_scene().on_slice(3)
    start, end = (3, 4, 4), (3, 15, 20)
    along = [tuple(np.add(start, share * np.subtract(end, start))) for share in np.linspace(0, 1, 4001)]
    expected = np.min([millimetres_from(point, scene.labels.shape)[3] for point in along[::10]], axis=0) <= 2.5
    painted = after(scene, stroke(scene, [start, end], replace(GGO, diameter_mm=5.0)))
    assert np.array_equal(painted[3].astype(bool), expected)


def test_a_brush_beside_the_scan_paints_what_is_inside(make_scene, after):
    scene = make_scene().on_slice(3)
    assert after(scene, stroke(scene, [(3, -2, 12)], GGO))[3, 0, 12]
    assert stroke(scene, [(3, -40, 12)], GGO) is None


@pytest.mark.parametrize(
    ("hu", "painted"), [(-850, True), (-850.5, False), (-200, True), (-199.5, False), (-500, True), (40, False)]
)
def test_both_ends_of_a_range_belong_to_it(make_scene, hu, painted):
    scene = make_scene(hu=np.full((7, 20, 24), hu, np.float32)).on_slice(3)
    correction = stroke(scene, [CENTRE], replace(GGO, hu_range=PRESETS["ggo"]))
    assert (correction is not None) is painted


def test_a_noisy_voxel_is_painted_and_a_vessel_is_not(make_scene, after):
    hu = np.full((1, 40, 40), -500, np.int16)
    hu[0, 12, 12] = -50  # noise in ground glass
    hu[0, :, 25:30] = 40  # a vessel of 3.5 mm
    scene = make_scene(labels=np.zeros((1, 40, 40)), spacing_mm=(1.0, 0.7, 0.7), hu=hu)
    painted = after(scene, stroke(scene, [(0, 20, 20)], Tip(1, 40.0, PRESETS["ggo"])))
    assert painted[0, 12, 12]
    assert not painted[0, :, 25:30].any()
    assert painted[0, 20, 32]


def test_a_voxel_has_one_smoothed_value_whichever_box_is_asked_for(make_scene):
    hu = np.random.default_rng(0).normal(-500, 200, (3, 30, 31)).astype(np.float32)
    scan = make_scene(labels=np.zeros((3, 30, 31)), spacing_mm=(2.0, 0.6, 0.9), hu=hu).scan
    whole = smoothed_hu(scan, (slice(0, 3), slice(0, 30), slice(0, 31)))
    for rows, columns in ((slice(0, 1), slice(30, 31)), (slice(7, 9), slice(11, 20)), (slice(12, 30), slice(0, 2))):
        assert np.array_equal(smoothed_hu(scan, (slice(1, 3), rows, columns)), whole[1:3, rows, columns])
    assert whole.std() < hu.std() / 2
    assert np.ptp(smoothed_hu(scan, (slice(0, 1), slice(0, 30), slice(0, 31)))) > 0
    assert SMOOTHING_MM < 1


def test_slices_are_smoothed_each_for_itself(make_scene):
    hu = np.full((3, 9, 9), -800, np.int16)
    hu[1] = 100
    scan = make_scene(labels=np.zeros((3, 9, 9)), spacing_mm=(0.5, 0.5, 0.5), hu=hu).scan
    found = smoothed_hu(scan, (slice(0, 3), slice(0, 9), slice(0, 9)))
    assert np.allclose(found, hu)


@pytest.mark.parametrize("name", LESIONS.names)
def test_the_lung_brush_stays_in_the_lungs_save_for_effusion(make_scene, after, name):
    lung = np.zeros((7, 20, 24), bool)
    lung[:, :, :13] = True
    scene = make_scene(lung=lung).on_slice(3)
    painted = after(scene, stroke(scene, [CENTRE], replace(GGO, value=LESIONS[name].value, in_lungs=True)))
    assert painted[3, 10, 12]
    assert bool(painted[3, 10, 13]) is (name == "effusion")


def test_without_lungs_the_lung_brush_says_what_to_do(make_scene):
    scene = make_scene().on_slice(3)
    with pytest.raises(ValueError, match="segment with a network that does"):
        stroke(scene, [CENTRE], replace(GGO, in_lungs=True))
    assert stroke(scene, [CENTRE], replace(GGO, value=3, in_lungs=True)) is not None


def test_erasing_in_a_range_leaves_what_is_outside_it(make_scene, after):
    hu = np.full((7, 20, 24), -500, np.int16)
    hu[:, :, 13:] = 30
    labels = np.ones((7, 20, 24))
    labels[:, 10:] = 2
    scene = make_scene(labels=labels, hu=hu).on_slice(3)
    erased = after(scene, stroke(scene, [CENTRE], Tip(0, 9.0, HuRange(0, 60))))
    assert erased[3, 10, 14] == 0
    assert erased[3, 9, 14] == 0
    assert erased[3, 10, 11] == 2
    assert erased[3, 9, 11] == 1


def test_other_classes_are_painted_over_only_when_wanted(make_scene, after):
    labels = np.zeros((7, 20, 24))
    labels[:, :, 12:] = 2
    scene = make_scene(labels=labels).on_slice(3)
    assert after(scene, stroke(scene, [CENTRE], GGO))[3, 10, 12] == 1
    kept = after(scene, stroke(scene, [CENTRE], replace(GGO, over_classes=False)))
    assert kept[3, 10, 12] == 2
    assert kept[3, 10, 11] == 1


def test_a_range_goes_up():
    with pytest.raises(ValueError, match="A range goes up"):
        HuRange(-200, -850)
    assert HuRange(-300, -300).holds(np.array([-300, -299])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("tip", "name"),
    [
        (Tip(1, 5), "brush"),
        (Tip(1, 5, PRESETS["ggo"]), "HU brush"),
        (Tip(1, 5, PRESETS["ggo"], in_lungs=True), "HU lung brush"),
        (Tip(3, 5, in_lungs=True), "brush"),
        (Tip(0, 5), "eraser"),
        (Tip(0, 5, PRESETS["ggo"]), "range eraser"),
    ],
)
def test_a_brush_is_called_by_what_bounds_it(tip, name):
    assert tip.name == name
