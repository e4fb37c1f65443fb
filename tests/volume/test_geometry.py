from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from napari_covseg.volume import GRID_TOLERANCE_MM, Geometry
from napari_covseg.volume.geometry import rearrangement

SHAPE = (5, 7, 4)
ORIENTATIONS = ["".join(signs) for axes in permutations(("LR", "PA", "IS")) for signs in product(*axes)]


def affine_of(turn=None, spacing=(0.7, 0.8, 5.0), origin=(-120.5, 33.25, 400.0)):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) * np.asarray(spacing)
    affine[:3, 3] = origin
    return affine


def along(letters):
    """A grid whose axes grow in the directions of three letters."""
    turn = np.zeros((3, 3))
    for axis, letter in enumerate(letters):
        world = next(w for w, pair in enumerate(("LR", "PA", "IS")) if letter in pair)
        turn[world, axis] = 1 if letter in "RAS" else -1
    return Geometry(SHAPE, affine_of(turn))


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("letters", ORIENTATIONS)
def test_an_orientation_is_read_off_the_affine(letters):
    assert along(letters).orientation == letters


@pytest.mark.parametrize("shape", [(0, 5, 5), (5, 5), (5, 5, 5, 5), (5, -1, 5)])
def test_a_grid_without_three_positive_counts_is_refused(shape):
    with pytest.raises(ValueError, match="three axes"):
        Geometry(shape, np.eye(4))


def test_a_grid_of_one_voxel_is_accepted():
    assert Geometry((1, 1, 1), np.eye(4)).corners_mm().shape == (8, 3)


@pytest.mark.parametrize(
    "affine",
    [
        np.eye(3),
        np.full((4, 4), np.nan),
        np.diag([1, 1, 0, 1]),
        np.diag([1, 1, 1, 2]),
        np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ],
)
def test_an_affine_that_is_no_place_in_space_is_refused(affine):
    with pytest.raises(ValueError, match="position in space"):
        Geometry(SHAPE, affine)


def test_the_affine_is_a_copy_that_cannot_be_written_to():
    mine = affine_of()
    geometry = Geometry(SHAPE, mine)
    mine[0, 3] = 99
    assert geometry.affine[0, 3] == -120.5
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 3] = 99


def test_spacing_and_volume_of_a_voxel_are_in_mm_and_ml():
    turn = Rotation.from_euler("xyz", (20, 10, 30), degrees=True).as_matrix()
    geometry = Geometry(SHAPE, affine_of(turn))
    assert geometry.spacing_mm == pytest.approx((0.7, 0.8, 5.0))
    assert geometry.voxel_ml == pytest.approx(0.7 * 0.8 * 5.0 / 1000)


def test_shearing_slices_changes_no_volume():
    sheared = affine_of()
    sheared[1, 2] = 1.5
    assert Geometry(SHAPE, sheared).voxel_ml == pytest.approx(0.7 * 0.8 * 5.0 / 1000)


@pytest.mark.parametrize(("degrees", "oblique"), [(0.0, False), (0.45, False), (0.55, True), (30.0, True)])
def test_an_axis_half_a_degree_off_is_oblique(degrees, oblique):
    turn = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    assert Geometry(SHAPE, affine_of(turn)).is_oblique is oblique


@pytest.mark.parametrize(("degrees", "letters"), [(44.9, "RAS"), (45.1, "APS")])
def test_an_oblique_axis_is_named_after_the_nearest(degrees, letters):
    turn = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    named = Geometry(SHAPE, affine_of(turn)).orientation
    assert named == {"RAS": "RAS", "APS": "ALS"}[letters]


@pytest.mark.parametrize("axis", ["x", "y", "z", "xyz"])
@pytest.mark.parametrize("target", ORIENTATIONS)
def test_at_45_degrees_every_rearranged_grid_bears_the_name_it_was_given(axis, target):
    turn = Rotation.from_euler(axis, [45] * len(axis), degrees=True).as_matrix()
    geometry = Geometry(SHAPE, affine_of(turn.squeeze()))
    assert geometry.rearranged(*rearrangement(geometry.orientation, target)).orientation == target


def test_millimetres_and_indices_are_each_others_inverse():
    turn = Rotation.from_euler("xyz", (20, -10, 130), degrees=True).as_matrix()
    geometry = Geometry(SHAPE, affine_of(turn))
    index = np.random.default_rng(0).uniform(-3, 9, size=(2, 6, 3))
    assert geometry.to_mm((0, 0, 0)) == pytest.approx([-120.5, 33.25, 400.0])
    assert apply_affine(np.linalg.inv(geometry.affine), geometry.to_mm(index)) == pytest.approx(index, abs=1e-9)


@pytest.mark.parametrize(("share", "same"), [(0.9, True), (1.1, False)])
def test_grids_are_the_same_up_to_a_thousandth_of_a_millimetre_at_the_corners(share, same):
    moved = affine_of()
    moved[2, 3] += share * GRID_TOLERANCE_MM
    assert Geometry(SHAPE, affine_of()).same_grid(Geometry(SHAPE, moved)) is same


@pytest.mark.parametrize(("share", "same"), [(0.9, True), (1.1, False)])
def test_a_wrong_spacing_is_seen_at_the_far_corner(share, same):
    stretched = affine_of()
    stretched[2, 2] += share * GRID_TOLERANCE_MM / (SHAPE[2] - 1)
    assert Geometry(SHAPE, affine_of()).same_grid(Geometry(SHAPE, stretched)) is same


def test_another_shape_is_another_grid():
    assert not Geometry((5, 7, 4), affine_of()).same_grid(Geometry((5, 7, 5), affine_of()))


def test_a_crop_keeps_its_voxels_where_they_were_and_padding_back_comes_home():
    geometry = Geometry(SHAPE, affine_of(Rotation.from_euler("y", 12, degrees=True).as_matrix()))
    crop = geometry.cropped((1, 2, 0), (4, 7, 3))
    assert crop.shape == (3, 5, 3)
    assert crop.to_mm((0, 0, 0)) == pytest.approx(geometry.to_mm((1, 2, 0)))
    assert crop.cropped((-1, -2, 0), (4, 5, 4)).same_grid(geometry)


def test_a_resized_grid_keeps_the_outer_edges_of_the_field_of_view():
    geometry = Geometry(SHAPE, affine_of(Rotation.from_euler("y", 12, degrees=True).as_matrix()))
    resized = geometry.resized((10, 3, 4))
    for sign in (0, 1):
        edge = np.array(SHAPE) * sign - 0.5
        edge_resized = np.array(resized.shape) * sign - 0.5
        assert resized.to_mm(edge_resized) == pytest.approx(geometry.to_mm(edge))
    assert np.prod(resized.shape) * resized.voxel_ml == pytest.approx(np.prod(SHAPE) * geometry.voxel_ml)


@pytest.mark.parametrize("letters", ["LLS", "LP", "LPSS", "XYZ", ""])
def test_letters_that_are_no_orientation_are_refused(letters):
    with pytest.raises(ValueError, match="is not an orientation"):
        rearrangement("LPS", letters)
