"""Components of a large array, numbered slab by slab, are those of the whole."""

import numpy as np
import pytest
from hypothesis import given
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
