"""Predictions become labels by name, never by index."""

import numpy as np
import pytest

from napari_covseg.networks import Prediction
from napari_covseg.volume import LESIONS


def _one_voxel_each(names, *rows):
    return Prediction(names, np.array(rows, dtype=np.float32).T[:, None, :])


def test_channels_in_another_order_paint_the_same_classes():
    straight = _one_voxel_each(
        ("background", "ggo", "consolidation", "effusion"), (0.1, 0.7, 0.1, 0.1), (0, 0, 0.1, 0.9)
    )
    shuffled = _one_voxel_each(
        ("effusion", "background", "consolidation", "ggo"), (0.1, 0.1, 0.1, 0.7), (0.9, 0, 0.1, 0)
    )
    assert straight.labels().tolist() == shuffled.labels().tolist() == [[1, 3]]


def test_a_binary_infection_is_never_painted_as_ground_glass():
    labels = _one_voxel_each(("infection",), (0.8,), (0.4,)).labels()
    assert labels.tolist() == [[LESIONS["infection"].value, 0]]


def test_a_lung_channel_is_no_lesion():
    labels = _one_voxel_each(("background", "lung", "ggo"), (0.1, 0.8, 0.1), (0.1, 0.2, 0.7)).labels()
    assert labels.tolist() == [[0, 1]]


def test_a_sure_prediction_is_less_uncertain_than_a_doubtful_one():
    names = ("background", "ggo", "consolidation")
    sure = _one_voxel_each(names, (0.99, 0.01, 0.0), (0.01, 0.0, 0.99))
    doubtful = _one_voxel_each(names, (0.4, 0.3, 0.3), (0.2, 0.5, 0.3))
    assert sure.uncertain_voxels() == pytest.approx(0.02)
    assert doubtful.uncertain_voxels() == pytest.approx(0.6 + 0.5)


def test_where_the_lung_begins_is_no_doubt_about_a_lesion():
    assert _one_voxel_each(("lung", "ggo", "background"), (0.5, 0.1, 0.4)).uncertain_voxels() == pytest.approx(0.1)


def test_independent_classes_are_doubted_each_by_itself():
    yes_or_no = _one_voxel_each(("ggo", "consolidation"), (0.1, 0.5), (0.8, 1.0))
    assert yes_or_no.uncertain_voxels() == pytest.approx(0.1 + 0.5 + 0.2)
    with_lung = _one_voxel_each(("lung", "ggo"), (0.5, 0.1), (0.5, 0.8))
    assert with_lung.uncertain_voxels() == pytest.approx(0.1 + 0.2)
