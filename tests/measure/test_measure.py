"""Millilitres, against figures worked out by hand."""

import tracemalloc

import numpy as np
import pytest

from napari_covseg.measure import millilitres, millilitres_per_slice, quantities
from napari_covseg.volume import LUNGS, Geometry, LabelMap, Volume

GRID = Geometry((4, 5, 6), np.diag([2.0, 3.0, 5.0, 1.0]))  # 30 mm³, 0.03 mL a voxel


@pytest.fixture
def labels():
    values = np.zeros(GRID.shape, np.uint8)
    values[0, 0, :3] = 1
    values[2, 2, 2], values[3, 3, 3] = 2, 2  # touch by a corner
    values[3, 0, 0] = 3
    return LabelMap(values, GRID)


def test_millilitres_count_voxels_times_their_size(labels):
    assert millilitres(labels) == pytest.approx({"ggo": 0.09, "consolidation": 0.06, "effusion": 0.03, "infection": 0})


def test_millilitres_of_many_voxels_take_next_to_no_memory():
    shape = (20, 512, 512)
    many = LabelMap(np.zeros(shape, dtype=np.uint8), Geometry(shape, np.eye(4)), LUNGS)
    many.values[-1, -1, -3:] = 1
    tracemalloc.start()
    found = millilitres(many)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == pytest.approx({"lung": 0.003})
    assert most < many.values.nbytes / 4


def test_millilitres_per_slice_add_up_to_the_whole(labels):
    per_slice = millilitres_per_slice(labels)
    assert per_slice["ggo"].tolist() == pytest.approx([0.09, 0, 0, 0])
    assert {name: values.sum() for name, values in per_slice.items()} == pytest.approx(millilitres(labels))


def test_sheared_axes_do_not_change_the_volume(labels):
    sheared = np.diag([2.0, 3.0, 5.0, 1.0])
    sheared[0, 2] = 4.0
    assert millilitres(LabelMap(labels.values, Geometry(GRID.shape, sheared))) == pytest.approx(millilitres(labels))


def test_quantities_of_a_class(labels):
    hu = np.zeros(GRID.shape, np.int16)
    hu[0, 0, :3] = (-600, -500, -400)
    lung = LabelMap((np.arange(120).reshape(GRID.shape) < 30).astype(np.uint8), GRID, LUNGS)
    found = quantities(labels, Volume(hu, GRID), lung)
    assert found["ggo"].mean_hu == -500
    assert found["ggo"].percent_of_lung == pytest.approx(10)
    assert found["consolidation"].components == 1
    assert (found["infection"].ml, found["infection"].mean_hu, found["infection"].components) == (0, None, 0)


def test_without_a_lung_mask_there_is_no_share(labels):
    assert quantities(labels, Volume(np.zeros(GRID.shape, np.int16), GRID))["ggo"].percent_of_lung is None


def test_another_grid_is_refused(labels):
    elsewhere = Geometry(GRID.shape, np.diag([2.0, 3.0, 5.01, 1.0]))
    with pytest.raises(ValueError, match="scan's grid"):
        quantities(labels, Volume(np.zeros(GRID.shape, np.int16), elsewhere))
