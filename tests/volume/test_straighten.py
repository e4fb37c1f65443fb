from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from napari_covseg.volume import AIR_HU, Geometry, Volume, straightened

SHAPE = (20, 24, 9)
SPACING_MM = (0.8, 0.7, 2.5)


def tilted(per_slice_mm, turn=None, dtype=np.float32):
    """A scan of slices that slide by some millimetres along the second axis; density grows evenly along y."""
    steps = np.diag(SPACING_MM)
    steps[1, 2] = per_slice_mm
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ steps
    affine[:3, 3] = (-30, 12, 400)
    geometry = Geometry(SHAPE, affine)
    along_y = geometry.to_mm(np.moveaxis(np.indices(SHAPE), 0, -1)) @ (affine[:3, 1] / SPACING_MM[1])
    return Volume((10 * along_y).astype(dtype), geometry), affine[:3, 1] / SPACING_MM[1]


@pytest.mark.parametrize("per_slice_mm", [0.4, -0.9])
@pytest.mark.parametrize("turn", [None, Rotation.from_euler("xyz", (9, -14, 31), degrees=True).as_matrix()])
def test_what_was_somewhere_in_the_patient_is_there_afterwards(per_slice_mm, turn):
    scan, direction = tilted(per_slice_mm, turn)
    upright = straightened(scan)
    assert upright.geometry.tilt_degrees == pytest.approx(0, abs=1e-6)
    assert upright.geometry.spacing_mm == pytest.approx(SPACING_MM)
    expected = 10 * (upright.geometry.to_mm(np.moveaxis(np.indices(upright.hu.shape), 0, -1)) @ direction)
    inside = upright.hu != AIR_HU
    assert inside.mean() > 0.6
    np.testing.assert_allclose(upright.hu[inside], expected[inside], atol=0.05)


def test_nothing_of_the_scan_falls_off_the_edge():
    scan, _ = tilted(0.9)
    upright = straightened(scan)
    lost = scan.geometry.corners_mm()
    index = apply_affine(np.linalg.inv(upright.geometry.affine), lost)
    assert index.min() > -1e-6
    assert (index <= np.array(upright.hu.shape) - 1 + 1e-6).all()
    assert upright.hu.shape[2] == SHAPE[2]
    assert upright.hu.shape[0] == SHAPE[0]


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_the_stacked_axis_is_found_whatever_the_voxel_order(axes):
    scan, _ = tilted(0.6)
    moved = Volume(scan.hu.transpose(axes), scan.geometry.rearranged(axes, (False,) * 3))
    upright = straightened(moved)
    assert upright.geometry.same_grid(straightened(scan).geometry.rearranged(axes, (False,) * 3))
    np.testing.assert_allclose(upright.hu, straightened(scan).hu.transpose(axes), atol=1e-3)


def test_whole_hounsfield_units_stay_whole_and_a_shift_by_whole_pixels_is_exact():
    scan, _ = tilted(0.7, dtype=np.int16)  # one pixel per slice
    upright = straightened(scan)
    assert upright.hu.dtype == np.int16
    for index in range(SHAPE[2]):
        np.testing.assert_array_equal(upright.hu[:, index : index + SHAPE[1], index], scan.hu[:, :, index])


@pytest.mark.parametrize(("per_slice_mm", "degrees"), [(0.0, 0.0), (2.5, 45.0), (-2.5, 45.0)])
def test_a_tilt_is_told_in_degrees(per_slice_mm, degrees):
    assert tilted(per_slice_mm)[0].geometry.tilt_degrees == pytest.approx(degrees, abs=1e-6)


def test_an_upright_scan_stays_as_it_is():
    scan, _ = tilted(0.0)
    upright = straightened(scan)
    assert upright.geometry.same_grid(scan.geometry)
    np.testing.assert_array_equal(upright.hu, scan.hu)
