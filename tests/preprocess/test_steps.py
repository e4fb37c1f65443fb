from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_covseg.preprocess import Resize, Square, Window, prepared
from napari_covseg.volume import AIR_HU, Geometry, Volume, labels_on
from napari_covseg.volume.labels import LabelMap


def oblique():
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix()
    affine[:3, :3] = turn * (5.0, 0.7, 0.9)
    affine[:3, 3] = (12.5, -80.0, 300.25)
    return affine


def scan_of(hu, affine=None):
    hu = np.asarray(hu)
    return Volume(hu, Geometry(hu.shape, oblique() if affine is None else affine), "case")


def ramp(shape, affine=None):
    """A scan whose value is linear in millimetres, and the function that says so."""
    geometry = Geometry(shape, oblique() if affine is None else affine)
    slope = np.array([2.0, -3.0, 1.5])
    hu = geometry.to_mm(np.moveaxis(np.indices(shape), 0, -1)) @ slope
    return Volume(hu.astype(np.float32), geometry), lambda g: g.to_mm(np.moveaxis(np.indices(g.shape), 0, -1)) @ slope


def test_a_window_maps_its_ends_to_0_and_1_and_clips_beyond():
    grey = Window(-1000, 400)(scan_of(np.array([[[-2000, -1000, -300, 400, 401, 3000]]], np.int16)))
    np.testing.assert_allclose(grey.hu[0, 0], [0, 0, 0.5, 1, 1, 1], atol=1e-7)
    assert grey.hu.dtype == np.float32


@pytest.mark.parametrize(("hu", "inside"), [(-999, True), (-1000, False), (399, True), (400, False)])
def test_only_values_inside_the_window_are_told_apart(hu, inside):
    grey = Window(-1000, 400)(scan_of(np.array([[[hu]]], np.int16))).hu.item()
    assert (0 < grey < 1) is inside


@pytest.mark.parametrize("high_hu", [-1000, -1001])
def test_an_empty_window_is_refused(high_hu):
    with pytest.raises(ValueError, match="empty"):
        Window(-1000, high_hu)


@pytest.mark.parametrize("step", [Window(-1000, 400), Square(), Resize(3), Resize(4), Resize(9)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_step_leaves_its_input_as_it_was(step, dtype):
    scan = scan_of(np.arange(2 * 4 * 4).reshape(2, 4, 4).astype(dtype))
    before = scan.hu.copy()
    step(scan)
    np.testing.assert_array_equal(scan.hu, before)


@pytest.mark.parametrize(("shape", "side"), [((2, 3, 6), 6), ((2, 6, 3), 6), ((2, 5, 6), 6)])
def test_a_square_pads_the_shorter_side_with_air_and_moves_nothing(shape, side):
    scan = scan_of(np.random.default_rng(0).integers(-900, 400, shape).astype(np.int16))
    scan.hu[1, 2, 2] = 3000
    square = Square()(scan)
    assert square.hu.shape == (2, side, side)
    assert (square.hu == AIR_HU).sum() == square.hu.size - scan.hu.size
    found = np.argwhere(square.hu == 3000)[0]
    assert square.geometry.to_mm(found) == pytest.approx(scan.geometry.to_mm((1, 2, 2)))
    margins = np.argwhere(square.hu != AIR_HU)
    before, after = margins.min(axis=0), np.array(square.hu.shape) - 1 - margins.max(axis=0)
    assert np.abs(before - after).max() <= 1


def test_what_is_square_stays_and_the_padding_has_the_value_asked_for():
    scan = scan_of(np.zeros((2, 4, 4), np.int16))
    assert Square()(scan).hu is scan.hu
    assert Square(outside=7.0)(scan_of(np.zeros((1, 2, 4), np.int16))).hu.sum() == 7 * 8


def test_shrinking_takes_the_mean_of_the_area():
    hu = np.random.default_rng(0).integers(-1000, 400, (2, 8, 12)).astype(np.int16)
    shrunk = Resize(4)(scan_of(hu)).hu
    np.testing.assert_allclose(shrunk, hu.reshape(2, 4, 2, 4, 3).mean(axis=(2, 4)), rtol=1e-5)


def test_enlarging_is_bilinear_and_makes_no_new_extremes():
    hu = np.array([[[0.0, 100.0], [200.0, 300.0]]], np.float32)
    grown = Resize(4)(scan_of(hu)).hu[0]
    np.testing.assert_allclose(grown[0], [0, 25, 75, 100], atol=1e-4)
    np.testing.assert_allclose(grown[:, 0], [0, 50, 150, 200], atol=1e-4)


@pytest.mark.parametrize("side", [8, 12, 23, 24, 25, 31, 48])
def test_a_resized_scan_says_the_same_at_the_same_millimetre(side):
    scan, value_at = ramp((3, 24, 24))
    resized = Resize(side)(scan)
    assert resized.hu.shape == (3, side, side)
    assert resized.hu.dtype == np.float32
    inner = (slice(None), slice(2, -2), slice(2, -2))  # the outermost pixels have nothing to interpolate with
    assert np.abs(resized.hu - value_at(resized.geometry))[inner].max() < 0.1  # a pixel is about 2 HU


def test_a_resized_scan_keeps_its_field_of_view():
    scan, _ = ramp((3, 20, 16))
    resized = Resize(7)(scan).geometry
    for corner, resized_corner in (((0, -0.5, -0.5), (0, -0.5, -0.5)), ((2, 19.5, 15.5), (2, 6.5, 6.5))):
        assert resized.to_mm(resized_corner) == pytest.approx(scan.geometry.to_mm(corner))


def test_a_scan_of_the_right_size_is_only_made_float32():
    scan = scan_of(np.arange(32, dtype=np.int16).reshape(2, 4, 4))
    resized = Resize(4)(scan)
    assert resized.hu.dtype == np.float32
    assert resized.geometry is scan.geometry
    np.testing.assert_array_equal(resized.hu, scan.hu)


def test_labels_found_after_square_and_resize_come_home():
    scan = scan_of(np.zeros((2, 6, 10), np.int16))
    scan.hu[:, 2:4, 4:8] = 100
    steps = (Square(), Resize(20), Window(0, 100))
    grey = prepared(scan, steps)
    labels = LabelMap((grey.hu > 0.5).astype(np.uint8), grey.geometry)
    home = labels_on(labels, scan.geometry)
    np.testing.assert_array_equal(home.values, scan.hu > 50)


def test_no_steps_change_nothing():
    scan = scan_of(np.zeros((1, 2, 2), np.int16))
    assert prepared(scan, ()) is scan
