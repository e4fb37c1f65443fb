from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_covseg.volume import AIR_HU, Geometry, LabelMap, Volume, cropped, labels_on, reoriented, volume_on

SHAPE = (6, 5, 4)
ORIENTATIONS = ["".join(signs) for axes in permutations(("LR", "PA", "IS")) for signs in product(*axes)]


def straight():
    return np.array([[-0.7, 0, 0, 120.5], [0, -0.8, 0, 33.25], [0, 0, 2.5, -400.1], [0, 0, 0, 1.0]])


def rotated():
    affine = straight()
    affine[:3, :3] = Rotation.from_euler("xyz", (14, -9, 21), degrees=True).as_matrix() @ affine[:3, :3]
    return affine


def sheared():
    affine = rotated()
    affine[:3, 2] += 0.6 * affine[:3, 1]
    return affine


def halfway():
    affine = straight()
    affine[:3, :3] = Rotation.from_euler("z", 45, degrees=True).as_matrix() @ affine[:3, :3]
    return affine


grids = pytest.mark.parametrize("affine", [straight(), rotated(), sheared(), halfway()], ids="srxh")


def labels_of(affine):
    values = np.random.default_rng(1).integers(0, 5, SHAPE).astype(np.uint8)
    return LabelMap(values, Geometry(SHAPE, affine))


def scan_of(affine):
    hu = np.random.default_rng(2).integers(-1000, 400, SHAPE).astype(np.int16)
    return Volume(np.asfortranarray(hu), Geometry(SHAPE, affine), "case")


@grids
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_reoriented_there_and_back_is_home(affine, orientation):
    scan = scan_of(affine)
    there = reoriented(scan, orientation)
    back = reoriented(there, scan.geometry.orientation)
    assert there.geometry.orientation == orientation
    assert back.geometry.same_grid(scan.geometry)
    np.testing.assert_array_equal(back.hu, scan.hu)


@grids
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_landmark_stays_in_its_place_in_millimetres(affine, orientation):
    scan = scan_of(affine)
    scan.hu[4, 1, 2] = 3000
    turned = reoriented(scan, orientation)
    found = np.argwhere(turned.hu == 3000)
    assert turned.geometry.to_mm(found)[0] == pytest.approx(scan.geometry.to_mm((4, 1, 2)), abs=1e-9)


@grids
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_labels_come_home_exactly_after_turning_cropping_and_padding(affine, orientation):
    labels = labels_of(affine)
    turned = reoriented(labels, orientation)
    padded = labels_on(turned, turned.geometry.cropped((-2, -1, -3), tuple(n + 2 for n in turned.values.shape)))
    box = tuple(n - 1 for n in padded.values.shape)
    home = labels_on(cropped(padded, (1, 1, 1), box), labels.geometry)
    np.testing.assert_array_equal(home.values, labels.values)
    assert home.geometry is labels.geometry


@grids
def test_a_cropped_label_map_comes_home_with_background_around_it(affine):
    labels = labels_of(affine)
    home = labels_on(reoriented(cropped(labels, (1, 0, 2), (4, 5, 4))), labels.geometry)
    expected = np.zeros_like(labels.values)
    expected[1:4, 0:5, 2:4] = labels.values[1:4, 0:5, 2:4]
    np.testing.assert_array_equal(home.values, expected)


def test_turning_and_cropping_copy_nothing():
    scan = scan_of(straight())
    assert np.shares_memory(reoriented(scan, "IPL").hu, scan.hu)
    assert np.shares_memory(cropped(scan, (1, 1, 1), (3, 3, 3)).hu, scan.hu)


def test_a_scan_on_its_own_grid_is_itself():
    scan = scan_of(rotated())
    again = volume_on(scan, Geometry(SHAPE, rotated()))
    assert again.hu is scan.hu
    assert again.name == "case"


@pytest.mark.parametrize(("start", "stop"), [((0, 0, 0), SHAPE), ((5, 4, 3), SHAPE)])
def test_a_box_up_to_the_edge_can_be_cropped(start, stop):
    assert cropped(scan_of(straight()), start, stop).hu.size


@pytest.mark.parametrize(
    ("start", "stop"), [((-1, 0, 0), SHAPE), ((0, 0, 0), (7, 5, 4)), ((2, 2, 2), (2, 3, 3)), ((3, 0, 0), (2, 5, 4))]
)
def test_a_box_outside_or_empty_is_refused(start, stop):
    with pytest.raises(ValueError, match="is not inside"):
        cropped(scan_of(straight()), start, stop)


def test_padding_a_scan_adds_air_and_keeps_whole_numbers():
    scan = scan_of(straight())
    padded = volume_on(scan, scan.geometry.cropped((-1, 0, 0), (6, 5, 4)))
    assert padded.hu.dtype == np.int16
    assert (padded.hu[0] == AIR_HU).all()
    np.testing.assert_array_equal(padded.hu[1:], scan.hu)


@grids
def test_a_grid_elsewhere_in_the_room_sees_only_air_and_background(affine):
    scan, labels = scan_of(affine), labels_of(affine)
    elsewhere = scan.geometry.cropped((50, 50, 50), (53, 53, 53))
    assert (volume_on(scan, elsewhere).hu == AIR_HU).all()
    assert not labels_on(labels, elsewhere).values.any()


@grids
def test_a_linear_field_is_interpolated_exactly_in_millimetres(affine):
    geometry = Geometry((12, 11, 10), affine)
    slope = np.array([3.0, -2.0, 5.0])
    field = geometry.to_mm(np.moveaxis(np.indices(geometry.shape), 0, -1)) @ slope
    inner = geometry.cropped((2, 2, 2), (9, 9, 8)).resized((13, 10, 11))
    sampled = volume_on(Volume(field, geometry), inner)
    expected = inner.to_mm(np.moveaxis(np.indices(inner.shape), 0, -1)) @ slope
    assert sampled.hu.dtype == np.float32
    assert np.abs(sampled.hu - expected).max() < 1e-2


@grids
def test_a_constant_stays_constant_up_to_the_edge_of_the_field_of_view_and_no_further(affine):
    geometry = Geometry(SHAPE, affine)
    flat = Volume(np.full(SHAPE, 40, np.int16), geometry)
    finer = geometry.resized((18, 15, 12))
    assert (volume_on(flat, finer).hu == 40).all()
    wider = volume_on(flat, finer.cropped((-1, -1, -1), (19, 16, 13)))
    assert (wider.hu[1:-1, 1:-1, 1:-1] == 40).all()
    assert (wider.hu == 40).sum() == 18 * 15 * 12
    assert wider.hu.min() == AIR_HU


def test_labels_on_a_finer_grid_are_the_nearest_ones():
    labels = labels_of(sheared())
    finer = labels_on(labels, labels.geometry.resized((18, 15, 12)))
    np.testing.assert_array_equal(finer.values, np.kron(labels.values, np.ones((3, 3, 3), np.uint8)))
    np.testing.assert_array_equal(labels_on(finer, labels.geometry).values, labels.values)


@pytest.mark.parametrize(("share", "exact"), [(0.9, True), (2.0, False)])
def test_a_lattice_is_shared_up_to_the_tolerance_of_grids(share, exact):
    scan = scan_of(straight())
    moved = scan.geometry.cropped((1, 1, 1), (5, 4, 3)).affine.copy()
    moved[0, 3] += share * 1e-3
    assert (volume_on(scan, Geometry((4, 3, 2), moved)).hu.dtype == np.int16) is exact


def test_labels_keep_scheme_and_provenance_on_the_way():
    labels = labels_of(rotated())
    home = labels_on(reoriented(labels, "RAS"), labels.geometry)
    assert home.scheme is labels.scheme
    assert home.provenance is labels.provenance
