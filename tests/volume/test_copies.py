"""Copies of a scan are known by any slice that they share, air not among them."""

from dataclasses import replace

import numpy as np
import pytest

from napari_covseg.volume import Geometry, Volume
from napari_covseg.volume.copies import moved, shared


@pytest.fixture
def scan():
    hu = np.random.default_rng(0).integers(-1000, 400, (12, 8, 8)).astype(np.int16)
    hu[[0, 11]] = -1000
    hu[1, 2:6, 2:6], hu[1, :2], hu[1, 6:], hu[1, :, :2], hu[1, :, 6:] = -1000, *(-2000,) * 4
    return Volume(hu, Geometry(hu.shape, np.eye(4)))


def part(scan, slices, changed=()):
    hu = scan.hu[slices].astype(np.float32)
    hu[list(changed), 3, 3] += 1
    return Volume(hu, Geometry(hu.shape, np.eye(4)))


@pytest.mark.parametrize(
    ("slices", "changed", "in_common"),
    [
        (slice(None), (), 9),
        (slice(0, 11), (), 9),
        (slice(4, 9), (), 5),
        (slice(None), (5,), 8),
        (slice(None), range(12), 0),
        (slice(None, None, 2), (), 5),
    ],
)
def test_a_copy_is_known_in_any_type_as_long_as_one_slice_is_as_it_was(scan, slices, changed, in_common):
    copy = part(scan, slices, changed)
    pairs = shared(copy.slices_sha256, scan.slices_sha256)
    assert len(pairs) == in_common
    start, _, step = slices.indices(12)
    assert all(there == start + step * here for here, there in pairs)


def test_air_also_in_its_circle_is_no_slice_in_common(scan):
    air = replace(scan, hu=np.full_like(scan.hu, -1000))
    assert set(air.slices_sha256) == {""}
    assert scan.slices_sha256[:2] == ("", "")
    assert shared(air.slices_sha256, scan.slices_sha256) == ()


@pytest.fixture
def chest():
    """Two lungs in a body, on a bed that holds air of its own; every slice with a grain of its own."""
    rows, columns = np.mgrid[:96, :128]
    hu = np.full((6, 96, 128), -1000.0)
    hu[:, ((rows - 45) / 40) ** 2 + ((columns - 64) / 55) ** 2 < 1] = 40
    for middle, half in ((40, 18), (88, 16)):
        hu[:, ((rows - 45) / 25) ** 2 + ((columns - middle) / half) ** 2 < 1] = -820
    hu[:, 88:94, 10:118], hu[:, 90:92, 12:116] = 100, -900
    hu += np.random.default_rng(1).normal(0, 30, hu.shape)
    return Volume(hu.round().astype(np.int16), Geometry(hu.shape, np.eye(4)))


def like(scan, hu):
    return Volume(hu, Geometry(hu.shape, np.eye(4)))


@pytest.mark.parametrize(
    "made",
    [
        lambda hu: hu.clip(-1000, 150),
        lambda hu: hu[..., ::-1],
        lambda hu: hu[:, ::-1].clip(-950, 0).astype(np.float32),
        lambda hu: hu[:, 12:80, 15:115],
        lambda hu: np.where(hu < -950, -2000, hu),
    ],
    ids=["clipped", "mirrored", "upside down and clipped", "cropped", "padded"],
)
def test_a_copy_is_known_by_its_lungs(chest, made):
    copy = like(chest, made(chest.hu))
    assert not {each.split()[0] for each in copy.slices_sha256} & {each.split()[0] for each in chest.slices_sha256}
    assert shared(copy.slices_sha256[2:], chest.slices_sha256) == ((0, 2), (1, 3), (2, 4), (3, 5))


def test_lungs_of_the_same_shape_are_of_two_patients(chest):
    grain = np.random.default_rng(2).normal(0, 10, chest.hu.shape)
    assert shared(like(chest, chest.hu + grain).slices_sha256, chest.slices_sha256) == ()


def test_a_little_air_within_the_body_is_no_lung(chest):
    bowel = chest.hu.copy()
    bowel[:, :, 60:] = 40
    bowel[:, :55] = 40
    assert all(len(each.split()) == 1 for each in like(chest, bowel).slices_sha256)
    assert all(len(each.split()) == 2 for each in chest.slices_sha256)


def test_what_was_written_before_lungs_had_fingerprints_still_tells_copies(chest):
    before = [each.split()[0] for each in chest.slices_sha256]
    assert shared(before, chest.slices_sha256[1:]) == tuple((k + 1, k) for k in range(5))


def test_slices_beyond_a_copy_lie_beyond_it(scan):
    pairs = shared(scan.slices_sha256, part(scan, slice(4, 9)).slices_sha256)
    assert moved((2, 4, 8, 10), pairs) == (-2, 0, 4, 6)


def test_the_fingerprint_of_the_whole_is_as_it_was():
    hu = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    whole = "988e0fc09a55992097408bd49bc33f908fcd9b97bd47632632746417f33c033c"
    assert Volume(hu, Geometry(hu.shape, np.eye(4))).voxels_sha256 == whole
