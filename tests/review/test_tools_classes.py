"""Classes change for whole lesions, by density where wanted, and other networks' lesions are taken over."""

import numpy as np
import pytest

from napari_covseg.review import accept, relabel, relabel_by_hu
from napari_covseg.review.hu_range import BETWEEN_CLASSES_HU


@pytest.fixture
def scene(make_scene):
    labels = np.zeros((7, 20, 24), np.uint8)
    labels[1:4, 2:6, 2:6] = 1
    labels[4, 6, 6] = 1  # by a corner
    labels[4, 6, 7] = 2
    labels[6, 15:18, 15:18] = 1
    return make_scene(labels=labels)


def test_a_lesion_is_relabelled_as_far_as_corners_carry(scene, after):
    correction = relabel(scene, (2, 3, 3), 2)
    assert correction.title == "relabel ground-glass opacity as consolidation on slices 2–5"
    found = after(scene, correction)
    assert not (found[:5] == 1).any()
    assert np.array_equal(found[6], scene.labels[6])


def test_on_one_slice_only_that_part(scene, after):
    found = after(scene, relabel(scene.on_slice(2), (2, 3, 3), 3))
    assert np.array_equal(found == 3, (scene.labels == 1) & (np.arange(7) == 2)[:, None, None])


def test_relabelled_as_nothing_it_is_deleted(scene, after):
    correction = relabel(scene, (6, 16, 16), 0)
    assert (correction.tool, correction.title) == ("delete", "delete a lesion of ground-glass opacity on slice 7")
    assert not after(scene, correction)[6].any()


def test_beside_a_lesion_there_is_nothing_to_relabel(scene):
    with pytest.raises(ValueError, match="no lesion at that place"):
        relabel(scene, (0, 0, 0), 2)
    with pytest.raises(ValueError, match="outside the scan"):
        relabel(scene.on_slice(2), (3, 3, 3), 2)
    assert relabel(scene, (6, 16, 16), 1) is None


@pytest.mark.parametrize(
    ("hu", "value"), [(BETWEEN_CLASSES_HU, 1), (BETWEEN_CLASSES_HU + 1, 2), (-700, 1), (40, 2), (-1000, 1)]
)
def test_denser_than_the_limit_is_consolidation(make_scene, after, hu, value):
    labels = np.full((2, 6, 6), 3, np.uint8)
    labels[0, :, :3], labels[0, :, 3:] = 1, 2
    labels[1, 0] = 4
    scene = make_scene(labels=labels, hu=np.full((2, 6, 6), hu, np.int16))
    found = after(scene, relabel_by_hu(scene))
    assert (found[0] == value).all()
    assert np.array_equal(found[1], labels[1])


def test_density_of_one_lesion_with_both_its_classes(make_scene, after):
    labels = np.zeros((3, 12, 30), np.uint8)
    labels[:, 2:10, 2:7], labels[:, 2:10, 7:12] = 1, 2
    labels[:, 2:10, 20:26] = 1
    hu = np.full(labels.shape, 0, np.int16)
    hu[:, :, :5] = -600
    scene = make_scene(labels=labels, hu=hu)
    found = after(scene, relabel_by_hu(scene, place=(1, 4, 8)))
    assert (found[:, 2:10, 2:5] == 1).all()
    assert (found[:, 2:10, 5:12] == 2).all()
    assert (found[:, 2:10, 20:26] == 1).all()
    flat = after(scene, relabel_by_hu(scene.on_slice(1), place=(1, 4, 8)))
    assert np.array_equal(flat[[0, 2]], labels[[0, 2]])
    assert np.array_equal(flat[1], found[1])
    with pytest.raises(ValueError, match="neither ground glass nor consolidation"):
        relabel_by_hu(scene, place=(1, 0, 0))


def test_another_networks_lesion_is_taken_over_with_its_classes(scene, after):
    other = np.zeros_like(scene.labels)
    other[2:4, 4:9, 4:9] = 2
    other[2, 4:9, 9] = 1
    other[6] = 1
    correction = accept(scene, (3, 8, 8), other, "MASC-Net")
    assert correction.title.startswith("accept a lesion of MASC-Net on slices 3–4")
    found = after(scene, correction)
    theirs = (other > 0) & (np.arange(7) < 5)[:, None, None]
    assert np.array_equal(found[theirs], other[theirs])
    assert np.array_equal(found[~theirs], scene.labels[~theirs])


def test_where_the_other_network_drew_nothing_it_says_so(scene):
    other = np.zeros_like(scene.labels)
    with pytest.raises(ValueError, match="MASC-Net drew no lesion"):
        accept(scene, (3, 8, 8), other, "MASC-Net")
    with pytest.raises(ValueError, match="not on the scan's grid"):
        accept(scene, (3, 8, 8), other[1:], "MASC-Net")
