"""The 95th percentile Hausdorff distance, against MONAI's and by hand."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance
from scipy import ndimage

from napari_covseg.measure import hd95_mm
from napari_covseg.volume import Geometry

SPACING = (5.0, 0.7, 1.3)


def grid(shape, spacing=SPACING):
    return Geometry(shape, np.diag([*spacing, 1.0]))


def blobs(seed, shape):
    noise = np.random.default_rng(seed).random((2, *shape))
    return ndimage.gaussian_filter(noise, (0, *(1.5 if n > 1 else 0 for n in shape))) > 0.51


def monais(a, b, spacing):
    y_pred, y = (torch.tensor(mask)[None, None].float() for mask in (a, b))
    found = compute_hausdorff_distance(y_pred, y, include_background=True, percentile=95, spacing=spacing)
    return found.item()


@pytest.mark.parametrize("seed", range(5))
def test_it_is_monais_on_an_anisotropic_grid(seed):
    a, b = blobs(seed, (9, 24, 20))
    assert a.any()
    assert b.any()
    assert hd95_mm(a, b, grid(a.shape)) == pytest.approx(monais(a, b, SPACING), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_speckle_is_monais_too(seed):
    a, b = np.random.default_rng(seed).random((2, 6, 12, 10)) < 0.02
    assert hd95_mm(a, b, grid(a.shape)) == pytest.approx(monais(a, b, SPACING), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_single_slice_is_monais_in_two_dimensions(seed):
    a, b = blobs(seed, (1, 40, 30))
    expected = pytest.approx(monais(a[0], b[0], SPACING[1:]), rel=1e-5)
    assert hd95_mm(a, b, grid(a.shape)) == expected
    assert hd95_mm(a, b, grid(a.shape), in_plane=True) == expected


def test_two_voxels_are_their_centres_apart():
    a, b = np.zeros((2, 4, 5, 6), bool)
    a[0, 1, 2], b[2, 2, 2] = True, True
    assert hd95_mm(a, b, grid(a.shape)) == pytest.approx(np.hypot(2 * 5.0, 0.7))
    assert hd95_mm(a, a, grid(a.shape)) == 0


def test_the_farther_direction_counts():
    """Ten voxels in a row against the first of them: from there nothing is far, from the row the far end is."""
    row, first = np.zeros((2, 1, 1, 10), bool)
    row[0, 0, :], first[0, 0, 0] = True, True
    expected = np.percentile(np.arange(10) * 1.3, 95)
    assert hd95_mm(row, first, grid(row.shape)) == pytest.approx(expected)
    assert hd95_mm(first, row, grid(row.shape)) == pytest.approx(expected)


def test_outlines_in_each_slice_leave_the_faces_of_a_block_out():
    """A block is all surface at its ends; in its slices only the rim is, and the hole is far from the rim."""
    block, hole = np.zeros((2, 3, 11, 11), bool)
    block[:] = True
    hole[1, 5, 5] = True
    isotropic = grid(block.shape, (1.0, 1.0, 1.0))
    assert hd95_mm(block, hole, isotropic) < hd95_mm(block, hole, isotropic, in_plane=True)


def test_a_sheared_grid_is_measured_in_the_patient():
    sheared = np.diag([5.0, 1.0, 1.0, 1.0])
    sheared[1, 0] = 3.0  # one slice further is 3 mm further along the rows
    a, b = np.zeros((2, 2, 5, 5), bool)
    a[0, 2, 2], b[1, 2, 2] = True, True
    assert hd95_mm(a, b, Geometry(a.shape, sheared)) == pytest.approx(np.hypot(5, 3))


def test_nothing_is_at_no_distance_from_nothing():
    some, nothing = np.zeros((2, 2, 3, 3), bool)
    some[0, 0, 0] = True
    for a, b in ((some, nothing), (nothing, some), (nothing, nothing)):
        assert hd95_mm(a, b, grid(a.shape)) is None
