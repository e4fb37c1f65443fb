from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from napari_covseg.volume import Geometry, Volume

SHAPE = (4, 3, 2)


def scan_of(hu=None, affine=None, name="case"):
    hu = np.arange(24, dtype=np.int16).reshape(SHAPE) if hu is None else hu
    return Volume(hu, Geometry(SHAPE, np.diag([0.7, 0.7, 5, 1]) if affine is None else affine), name)


def moved(x_mm):
    affine = np.diag([0.7, 0.7, 5, 1])
    affine[0, 3] = x_mm
    return affine


def test_voxels_of_another_shape_than_their_grid_are_refused():
    with pytest.raises(ValueError, match="their grid is"):
        scan_of(np.zeros((4, 3, 3), np.int16))


def test_a_scan_is_a_value():
    with pytest.raises(FrozenInstanceError):
        scan_of().name = "other"


def test_the_fingerprint_knows_neither_name_nor_memory_order():
    scan = scan_of()
    assert scan.sha256 == scan_of(name="other").sha256
    assert scan.sha256 == scan_of(np.asfortranarray(scan.hu)).sha256
    assert scan.sha256 == scan_of(scan.hu.copy()[::-1][::-1]).sha256


def test_one_voxel_changes_the_fingerprint():
    hu = scan_of().hu.copy()
    hu[3, 2, 1] += 1
    assert scan_of(hu).sha256 != scan_of().sha256


def test_voxels_in_another_order_have_another_fingerprint():
    assert scan_of(scan_of().hu[::-1]).sha256 != scan_of().sha256


@pytest.mark.parametrize(("x_mm", "same"), [(0.0, True), (4e-5, True), (6e-5, False), (-10.0, False)])
def test_a_place_a_tenth_of_a_micrometre_away_is_another_scan(x_mm, same):
    assert (scan_of(affine=moved(x_mm)).sha256 == scan_of(affine=moved(0.0)).sha256) is same


def test_the_fingerprint_survives_the_float32_of_a_file():
    affine = moved(-273.176864) + np.pad([[1e-17]], ((1, 2), (0, 3)))
    on_file = affine.astype(np.float32).astype(np.float64)
    assert scan_of(affine=affine).sha256 == scan_of(affine=on_file).sha256


def test_minus_zero_is_zero():
    assert scan_of(affine=moved(-0.0)).sha256 == scan_of(affine=moved(0.0)).sha256
