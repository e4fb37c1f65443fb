"""Filling and growing reach exactly what hangs together, and say where they stopped."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_covseg.review import Growth, HuRange, Scene, fill, grow
from napari_covseg.volume import Geometry, Volume

RANGE = HuRange(-600, -300)


def bare(labels):
    geometry = Geometry(labels.shape, np.diag([1.0, 1.0, 1.0, 1.0]))
    return Scene(labels, Volume(np.zeros(labels.shape, np.int16), geometry))


@given(
    arrays(np.uint8, (4, 6, 5), elements=st.integers(0, 2)),
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 4)),
    st.integers(0, 4),
)
def test_fill_reaches_what_scipy_says_hangs_together_by_faces(labels, place, value):
    here = labels[place]
    if here == 0:
        return
    expected = labels.copy()
    numbers, _ = ndimage.label(labels == here)
    expected[numbers == numbers[place]] = value
    correction = fill(bare(labels), place, value)
    filled = labels.copy()
    if correction is not None:
        correction.applied_to(filled)
    assert np.array_equal(filled, expected)


@given(
    arrays(np.uint8, (3, 6, 6), elements=st.integers(0, 1)),
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 5)),
    st.booleans(),
)
def test_background_is_filled_only_where_it_is_enclosed(labels, place, flat):
    if labels[place]:
        return
    scene, around = bare(labels), labels
    if flat:
        scene, around = scene.on_slice(place[0]), labels[place[0]]
    numbers, _ = ndimage.label(around == 0)
    own = numbers == numbers[place[1:] if flat else place]
    is_open = any(own.take(end, axis=axis).any() for axis in range(own.ndim) for end in (0, -1))
    if is_open:
        with pytest.raises(ValueError, match="not enclosed"):
            fill(scene, place, 2)
        return
    filled = labels.copy()
    fill(scene, place, 2).applied_to(filled)
    assert np.array_equal(filled[place[0]] == 2 if flat else filled == 2, own)


def test_a_long_winding_lesion_is_followed_to_its_end(make_scene, after):
    labels = np.zeros((5, 120, 130), np.uint8)
    labels[2, ::4, :] = 1
    for turn, row in enumerate(range(0, 116, 4)):
        labels[2, row : row + 4, 129 if turn % 2 == 0 else 0] = 1
    scene = make_scene(labels=labels)
    assert np.array_equal(after(scene, fill(scene, (2, 0, 0), 2)), 2 * labels)


def test_on_one_slice_the_others_stay(make_scene, after):
    labels = np.zeros((7, 20, 24))
    labels[:, 5:10, 5:10] = 1
    scene = make_scene(labels=labels)
    filled = after(scene, fill(scene.on_slice(3), (3, 6, 6), 2))
    assert set(np.argwhere(filled == 2)[:, 0]) == {3}
    assert fill(scene, (3, 6, 6), 1) is None


def test_an_empty_map_is_not_flooded(make_scene):
    scene = make_scene()
    with pytest.raises(ValueError, match="not enclosed"):
        fill(scene, (3, 6, 6), 1)
    with pytest.raises(ValueError, match="outside the scan"):
        fill(scene, (3, 6, 60), 1)


def ball_of(hu, scene_spacing, shape=(15, 40, 40), radius_mm=12.0, background=-900):
    """A ball of one density in another, in the middle; returns HU and the ball."""
    index = np.indices(shape).reshape(3, -1).T - (np.array(shape) // 2)
    inside = (np.linalg.norm(index * scene_spacing, axis=1) <= radius_mm).reshape(shape)
    return np.where(inside, np.float32(hu), np.float32(background)), inside


SPACING_MM = (2.5, 0.8, 1.1)
SEED = (7, 20, 20)


def growing(make_scene, hu=-450.0, **changes):
    voxels, inside = ball_of(hu, SPACING_MM)
    scene = make_scene(labels=np.zeros(voxels.shape), spacing_mm=SPACING_MM, hu=voxels)
    growth = replace(Growth(1, RANGE, limit_mm=30.0), **changes)
    return scene, inside, growth


def test_a_lesion_is_grown_to_its_edge(make_scene, after):
    scene, inside, growth = growing(make_scene)
    correction = grow(scene, SEED, growth)
    grown = after(scene, correction).astype(bool)
    assert "leaked" not in correction.title
    overlap = 2 * (grown & inside).sum() / (grown.sum() + inside.sum())
    assert overlap > 0.95  # the smoothing moves the edge by less than a voxel
    assert f"{grown.sum() * np.prod(SPACING_MM) / 1000:.1f} mL" in correction.title


@pytest.mark.parametrize(("hu", "grows"), [(-600, True), (-601, False), (-300, True), (-299, False)])
def test_a_seed_outside_the_range_is_refused_with_its_hounsfield_units(make_scene, hu, grows):
    scene, _, growth = growing(make_scene, hu)
    if grows:
        assert grow(scene, SEED, growth) is not None
        return
    with pytest.raises(ValueError, match=f"It is −{-hu} HU where you point, and Grow takes −600…−300 HU; point inside"):
        grow(scene, SEED, growth)


def test_growth_is_cut_at_the_limit_in_millimetres_and_says_so(make_scene, after):
    scene, _, growth = growing(make_scene, limit_mm=6.6)
    correction = grow(scene, SEED, growth)
    grown = after(scene, correction).astype(bool)
    away_mm = np.linalg.norm((np.argwhere(grown) - SEED) * SPACING_MM, axis=1)
    assert away_mm.max() == pytest.approx(6.6)  # six columns of 1.1 mm: the edge belongs to it
    index = np.indices(grown.shape).reshape(3, -1).T - SEED
    near = (np.linalg.norm(index * SPACING_MM, axis=1) <= 6.6 + 1e-9).reshape(grown.shape)
    assert np.array_equal(grown, near)
    assert correction.title.endswith("; it leaked past 6.6 mm from the seed and was cut there")
    assert " mL on slices 6–10" in correction.title


def test_growth_that_just_reaches_the_limit_has_not_leaked(make_scene):
    hu = np.full((1, 30, 30), -900, np.float32)
    hu[0, 10:21, 10:21] = -450
    scene = make_scene(labels=np.zeros((1, 30, 30)), spacing_mm=(1.0, 1.0, 1.0), hu=hu)
    farthest = float(np.hypot(5, 5))
    to_the_corner = HuRange(-700, -300)
    assert "leaked" not in grow(scene, (0, 15, 15), Growth(1, to_the_corner, farthest)).title
    assert "leaked" in grow(scene, (0, 15, 15), Growth(1, to_the_corner, farthest - 0.01)).title


def test_growth_on_one_slice_stays_on_it(make_scene, after):
    scene, _, growth = growing(make_scene)
    grown = after(scene, grow(scene.on_slice(7), SEED, growth))
    assert set(np.argwhere(grown)[:, 0]) == {7}


def test_growth_leaves_other_classes_and_is_refused_on_them(make_scene, after):
    scene, _, growth = growing(make_scene)
    scene.labels[:, :, 22:] = 2
    grown = after(scene, grow(scene, SEED, growth))
    assert (grown[:, :, 22:] == 2).all()
    assert grown[7, 20, 21] == 1
    with pytest.raises(ValueError, match="is consolidation already"):
        grow(scene, (7, 20, 22), growth)


@pytest.mark.parametrize("value", [1, 2, 3, 4])
def test_growth_in_the_lungs_stays_there_save_for_effusion(make_scene, after, value):
    scene, inside, growth = growing(make_scene, value=value, in_lungs=True)
    lung = np.zeros(inside.shape, bool)
    lung[:, :, :22] = True
    bounded = replace(scene, lung=lung)
    assert bool(after(bounded, grow(bounded, SEED, growth))[:, :, 22:].any()) is (value == 3)
    if value == 3:
        assert grow(scene, SEED, growth) is not None
        return
    with pytest.raises(ValueError, match="Nobody has drawn the lungs"):
        grow(scene, SEED, growth)
    with pytest.raises(ValueError, match="outside the lungs"):
        grow(bounded, (7, 20, 24), growth)
