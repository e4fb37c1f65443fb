"""Predictions become labels by name, never by index."""

import numpy as np

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
