"""Islands, holes, ragged edges and the largest piece: in cubic millimetres, and each class left its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_covseg.review import Scene, fill_holes, keep_largest, remove_islands, smooth
from napari_covseg.volume import Geometry, Volume

SPACING_MM = (3.0, 1.0, 2.0)
VOXEL_MM3 = 6.0


def bare(labels, spacing_mm=SPACING_MM):
    geometry = Geometry(labels.shape, np.diag([*spacing_mm, 1.0]))
    return Scene(labels, Volume(np.zeros(labels.shape, np.int16), geometry))


@pytest.mark.parametrize(("below_mm3", "stays"), [(5 * VOXEL_MM3, True), (5 * VOXEL_MM3 + 0.01, False)])
def test_an_island_of_exactly_the_limit_stays(after, below_mm3, stays):
    labels = np.zeros((5, 12, 12), np.uint8)
    labels[2, 3, 3:8] = 1
    labels[1:4, 6:10, 6:10] = 2
    left = after(scene := bare(labels), remove_islands(scene, below_mm3))
    assert bool((left[2, 3] == 1).any()) is stays
    assert np.array_equal(left == 2, labels == 2)


def test_pieces_that_touch_at_a_corner_or_in_another_class_are_one_lesion(after):
    labels = np.zeros((4, 6, 6), np.uint8)
    labels[0, 0, 0], labels[1, 1, 1], labels[1, 1, 2] = 1, 1, 2
    scene = bare(labels)
    assert remove_islands(scene, 3 * VOXEL_MM3) is None
    assert not after(scene, remove_islands(scene, 3 * VOXEL_MM3 + 0.1)).any()


def test_on_one_slice_an_island_is_measured_on_that_slice(after):
    labels = np.zeros((5, 8, 8), np.uint8)
    labels[:, 4, 4] = 1
    scene = bare(labels)
    assert remove_islands(scene, 4 * VOXEL_MM3) is None
    left = after(scene, remove_islands(scene.on_slice(2), 4 * VOXEL_MM3))
    assert left[:, 4, 4].tolist() == [1, 1, 0, 1, 1]


def test_nothing_painted_is_nothing_to_do():
    scene = bare(np.zeros((4, 6, 6), np.uint8))
    assert remove_islands(scene, 100) is None
    assert keep_largest(scene, 1) is None
    assert fill_holes(scene) is None
    assert smooth(scene, 2.0) is None


def test_the_largest_of_a_class_stays_and_other_classes_too(after):
    labels = np.zeros((5, 12, 12), np.uint8)
    labels[1:3, 1:4, 1:4] = 1
    labels[4, 8:11, 8:11] = 1
    labels[0, 11, 0] = 2
    left = after(scene := bare(labels), keep_largest(scene, 1))
    assert np.array_equal(left, np.where(np.arange(5)[:, None, None] == 4, 0, labels))
    flat = after(scene, keep_largest(scene.on_slice(4), 1))
    assert np.array_equal(flat, labels)


def box_with_a_hole(size=3):
    labels = np.zeros((7, 12, 12), np.uint8)
    labels[1:6, 1:10, 1:10] = 1
    labels[3, 4, 4 : 4 + size] = 0
    return labels


def test_a_hole_is_filled_and_a_bay_is_not(after):
    labels = box_with_a_hole()
    labels[3, 7, 7:] = 0  # open to the side
    filled = after(scene := bare(labels), fill_holes(scene))
    assert (filled[3, 4, 4:7] == 1).all()
    assert not filled[3, 7, 7:].any()


def test_a_tunnel_through_the_slices_is_open_in_3_d_and_closed_on_a_slice(after):
    labels = box_with_a_hole(0)
    labels[:, 5, 5] = 0
    scene = bare(labels)
    assert fill_holes(scene) is None
    filled = after(scene, fill_holes(scene.on_slice(3)))
    assert np.argwhere(filled != labels).tolist() == [[3, 5, 5]]


def test_what_reaches_the_edge_of_the_scan_is_open(after):
    labels = np.ones((5, 8, 8), np.uint8)
    labels[2, 4, 0] = labels[0, 4, 4] = labels[2, 2, 2] = 0
    scene = bare(labels)
    filled = after(scene, fill_holes(scene))
    assert np.argwhere(filled == 0).tolist() == [[0, 4, 4], [2, 4, 0]]
    flat = after(scene, fill_holes(scene.on_slice(0)))
    assert np.argwhere(flat == 0).tolist() == [[2, 2, 2], [2, 4, 0]]


@pytest.mark.parametrize(("up_to_mm3", "filled"), [(3 * VOXEL_MM3, True), (3 * VOXEL_MM3 - 0.01, False)])
def test_a_hole_of_exactly_the_limit_is_filled(up_to_mm3, filled):
    assert (fill_holes(bare(box_with_a_hole()), up_to_mm3) is not None) is filled


@pytest.mark.parametrize(("axis", "wins"), [(0, 1), (1, 3), (2, 1)])
def test_a_hole_takes_the_class_that_shares_most_of_its_surface_in_square_millimetres(after, axis, wins):
    # a voxel shares 2 mm² with each neighbour across slices, 6 across rows, 3 across columns
    labels = np.ones((7, 9, 9), np.uint8)
    labels[3, 4, 4] = 0
    for side in (-1, 1):
        labels[tuple(np.add((3, 4, 4), side * np.eye(3, dtype=int)[axis]))] = 3
    filled = after(scene := bare(labels), fill_holes(scene))
    assert filled[3, 4, 4] == wins


@pytest.mark.parametrize("kind", ["median", "gaussian"])
def test_smoothing_keeps_a_flat_edge_and_takes_a_spur(after, kind):
    labels = np.zeros((9, 30, 30), np.uint8)
    labels[:, :, :15] = 1
    labels[4, 15, 15:18] = 1
    labels[4, 4, 14] = 0
    smoothed = after(scene := bare(labels, (1.0, 1.0, 1.0)), smooth(scene, 1.5, kind))
    assert (smoothed[:, :, :15] == 1).all()
    assert not smoothed[:, :, 15:].any()


@pytest.mark.parametrize("kind", ["median", "gaussian"])
def test_a_ball_keeps_its_radius_in_millimetres(after, kind):
    index = np.indices((21, 60, 40)).reshape(3, -1).T - (10, 30, 20)
    away_mm = np.linalg.norm(index * (2.0, 0.7, 1.0), axis=1).reshape(21, 60, 40)
    labels = (away_mm <= 14).astype(np.uint8)
    smoothed = after(scene := bare(labels, (2.0, 0.7, 1.0)), smooth(scene, 2.5, kind))
    assert smoothed[away_mm <= 12.5].all()
    assert not smoothed[away_mm > 15].any()


@given(
    arrays(np.uint8, (4, 7, 6), elements=st.sampled_from([0, 2])), st.sampled_from([0.9, 1.0, 1.9, 2.0, 2.9, 3.0, 4.1])
)
@settings(max_examples=40)
def test_the_median_is_taken_over_a_ball_in_millimetres(labels, size_mm):
    reach = 5
    padded = np.pad(labels > 0, reach, mode="edge")
    away = np.indices((2 * reach + 1,) * 3).reshape(3, -1).T - reach
    near = away[np.linalg.norm(away * SPACING_MM, axis=1) <= size_mm] + reach
    seen = np.mean([padded[i : i + 4, j : j + 7, k : k + 6] for i, j, k in near], axis=0)
    smoothed = labels.copy()
    if correction := smooth(bare(labels), size_mm):
        correction.applied_to(smoothed)
    assert np.array_equal(smoothed, np.where(seen > 0.5, 2, 0))


def test_smoothing_on_a_slice_changes_only_that_slice(after):
    labels = np.zeros((7, 20, 20), np.uint8)
    labels[:, 5:15, 5:15] = 1
    labels[:, 9, 15:17] = 1
    smoothed = after(scene := bare(labels), smooth(scene.on_slice(3), 2.5))
    assert set(np.argwhere(smoothed != labels)[:, 0]) == {3}
    assert smoothed[3, 10, 10] == 1


@given(
    arrays(np.uint8, (4, 7, 6), elements=st.integers(0, 3)),
    st.sampled_from(["median", "gaussian"]),
    st.floats(0.5, 5.0),
    st.booleans(),
)
@settings(max_examples=60)
def test_smoothing_never_crosses_the_border_between_classes(labels, kind, size_mm, flat):
    scene = bare(labels)
    correction = smooth(scene.on_slice(2) if flat else scene, size_mm, kind)
    if correction is None:
        return
    was, now = correction.before, correction.after
    differs = was != now
    assert ((was[differs] == 0) | (now[differs] == 0)).all()


def test_what_is_new_takes_the_class_beside_it(after):
    labels = np.zeros((5, 20, 20), np.uint8)
    labels[:, :10, :10], labels[:, 10:, :10] = 1, 2
    labels[2, 4, 9] = labels[2, 15, 9] = 0
    smoothed = after(scene := bare(labels, (1.0, 1.0, 1.0)), smooth(scene, 1.5))
    assert (smoothed[2, 4, 9], smoothed[2, 15, 9]) == (1, 2)


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0 mm"):
        smooth(bare(np.ones((2, 3, 4), np.uint8)), 0)


@pytest.mark.parametrize("kind", ["median", "gaussian"])
@pytest.mark.parametrize("seed", range(6))
def test_smoothing_block_by_block_is_smoothing_the_whole(monkeypatch, after, kind, seed):
    monkeypatch.setattr("napari_covseg.review.outline.BLOCK_VOXELS", (3 + seed, 4, 7))
    rng = np.random.default_rng(seed)
    spacing_mm = ((1.0, 0.7, 0.7), (5.0, 0.8, 0.8), (0.6, 0.6, 0.6))[seed % 3]
    field = ndimage.gaussian_filter(rng.normal(size=(11, 33, 29)), 1.5)
    labels = np.digitize(field, np.quantile(field, (0.7, 0.85, 0.95))).astype(np.uint8)
    size_mm, mm = 2.0, np.array(spacing_mm)
    if kind == "median":
        grid = np.indices([2 * int(size_mm / each) + 1 for each in mm])
        away_mm = [(axis - axis.max() // 2) * each for axis, each in zip(grid, mm, strict=True)]
        ball = (np.sum(np.square(away_mm), axis=0) <= size_mm**2 + 1e-9).astype(float)
        seen = [ndimage.correlate((labels == v).astype(float), ball / ball.sum(), mode="nearest") for v in (1, 2, 3)]
    else:
        masks = ((labels == v).astype(np.float64) for v in (1, 2, 3))
        seen = [ndimage.gaussian_filter(mask, size_mm / mm, mode="nearest", truncate=3.0) for mask in masks]
    expected = np.where(np.sum(seen, axis=0) > 0.5 + 1e-5, np.where(labels > 0, labels, 1 + np.argmax(seen, axis=0)), 0)
    found = after(scene := bare(labels, spacing_mm), smooth(scene, size_mm, kind))
    ties = np.abs(np.sort(seen, axis=0)[2] - np.sort(seen, axis=0)[1]) < 1e-6
    assert (found[~ties] == expected[~ties]).all()
    assert np.array_equal(found > 0, expected > 0)
