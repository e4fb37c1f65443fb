"""Components of a large array, numbered slab by slab, are those of the whole."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_covseg.review import components

SHAPE = (7, 6, 5)
STRUCTURES = {
    components.BY_FACES: ndimage.generate_binary_structure(3, 1),
    components.BY_CORNERS: np.ones((3, 3, 3)),
}


@pytest.fixture(autouse=True, scope="module", params=[1, 30, 60, 10**9])
def slab_voxels(request):
    was, components.SLAB_VOXELS = components.SLAB_VOXELS, request.param
    yield
    components.SLAB_VOXELS = was


@given(arrays(bool, SHAPE), st.sampled_from(list(STRUCTURES)))
def test_a_mask_is_numbered_in_reading_order_as_scipy_does(mask, connectivity):
    expected, count = ndimage.label(mask, STRUCTURES[connectivity])
    found = components.numbered(mask, connectivity)
    assert found.shape == mask.shape
    assert np.array_equal(found > 0, mask)
    assert found.max(initial=0) == count
    firsts = np.unique(found[mask], return_index=True)[1]
    assert (np.diff(firsts) > 0).all()
    pairs = np.unique(np.stack([found[mask], expected[mask]]), axis=1)
    assert pairs.shape[1] == count


@given(arrays(np.uint8, SHAPE, elements=st.integers(0, 2)))
def test_each_value_has_its_own_components(labels):
    found = components.numbered(labels, components.BY_CORNERS)
    for value in (1, 2):
        expected, count = ndimage.label(labels == value, np.ones((3, 3, 3)))
        pairs = np.unique(np.stack([found[labels == value], expected[labels == value]]), axis=1)
        assert pairs.shape[1] == count
    assert len(np.unique(found[labels > 0])) == found.max(initial=0)


def test_nothing_has_no_components():
    assert components.numbered(np.zeros((0, 4, 4), bool), components.BY_FACES).shape == (0, 4, 4)
    assert not components.numbered(np.zeros(SHAPE, bool), components.BY_FACES).any()
    assert components.numbered(np.ones((0, 0), np.uint8), components.IN_A_SLICE).size == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.6, 0.9]), st.sampled_from(list(STRUCTURES)))
def test_the_component_at_a_place_is_the_one_that_scipy_finds_however_it_winds(make_scene, seed, share, connectivity):
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.random((14, 30, 26)), rng.choice([0.4, 1.0, 2.0]))
    mask = blobs > np.quantile(blobs, 1 - share)
    place = tuple(int(each) for each in rng.integers(0, mask.shape))
    scene = make_scene(labels=mask.astype(np.uint8))
    expected, _ = ndimage.label(mask, STRUCTURES[connectivity])
    found = components.component(scene, place, lambda box: scene.labels[box] != 0, connectivity)
    if not mask[place]:
        assert found is None
        return
    whole = np.zeros_like(mask)
    whole[found[0]] = found[1]
    assert np.array_equal(whole, expected == expected[place])
    assert found[1].any(axis=(1, 2)).all()


def test_a_thread_that_winds_through_all_of_the_scan_is_found_whole(make_scene):
    labels = np.zeros((20, 61, 61), np.uint8)
    labels[:, 1, 1] = 1
    for index in range(0, 20, 2):
        labels[index, 1::4, 1:60] = 1
        labels[index, 1:60, 1 if index % 4 else 59] = 1
    scene = make_scene(labels=labels)
    box, mask = components.component(scene, (0, 1, 1), lambda box: scene.labels[box] != 0, components.BY_FACES)
    assert np.count_nonzero(mask) == np.count_nonzero(labels)
    assert mask.shape == tuple(span.stop - span.start for span in box)


@pytest.mark.parametrize("connectivity", [components.BY_FACES, components.BY_CORNERS])
@pytest.mark.parametrize("shape", [(1, 9, 1), (3, 3, 3), (1, 127, 127), (75, 1, 129), (9, 9, 1)])
def test_as_many_single_voxels_as_there_is_room_for_are_as_many_components(shape, connectivity):
    mask = np.zeros(shape, dtype=bool)
    mask[::2, ::2, ::2] = True
    found = components.numbered(mask, connectivity)
    assert np.array_equal(found[mask], 1 + np.arange(np.count_nonzero(mask)))
    assert not found[~mask].any()
