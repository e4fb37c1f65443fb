"""Pictures show the slice as it is in the patient, and tables hold what was measured."""

import csv

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_covseg.export.pictures import PictureStyle, picture, write_pictures
from napari_covseg.export.tables import write_quantities
from napari_covseg.measure import quantities
from napari_covseg.volume import Geometry, LabelMap, Volume, reoriented

GREEN = (0x35, 0xB7, 0x79)


@pytest.fixture
def scan():
    """LPS, pixels twice as high as wide: 40 × 10 of them are 40 mm × 20 mm; bright in the patient's right half."""
    affine = np.diag([-1.0, -2.0, 5.0, 1.0])
    hu = np.full((40, 10, 3), -1350, dtype=np.int16)
    hu[:20] = 150  # L grows along axis 0, so its first half is the patient's right
    return reoriented(Volume(hu, Geometry(hu.shape, affine), "case"))


@pytest.fixture
def labels(scan):
    values = np.zeros(scan.geometry.shape, dtype=np.uint8)
    values[1, 3:7, 25:35] = 1
    return LabelMap(values, scan.geometry)


def test_the_patients_right_is_on_the_left_and_millimetres_are_square(scan, labels):
    drawn = picture(scan, labels, 0, PictureStyle(longest_side=400))
    assert drawn.shape == (200, 400, 3)
    assert (drawn[100, 50] == 255).all()
    assert (drawn[100, 350] == 0).all()


def test_a_lesion_has_a_two_pixel_outline_and_a_light_fill(scan, labels):
    drawn = picture(scan, labels, 1, PictureStyle(longest_side=400)).astype(int)
    row = drawn[100, 240:300]
    outline = np.flatnonzero((row == GREEN).all(axis=1))
    assert len(outline) == 2
    assert outline[1] - outline[0] == 1
    assert tuple(drawn[100, 300]) == tuple(round(0.2 * channel) for channel in GREEN)


def test_labels_of_another_grid_are_refused(scan, labels):
    with pytest.raises(ValueError, match="grid"):
        picture(scan, reoriented(labels, "LPS"), 0)


def test_pictures_are_numbered_from_the_apex(scan, labels, tmp_path):
    paths = write_pictures(scan, labels, (0, 2), tmp_path)
    assert [path.name for path in paths] == ["case_slice_001.png", "case_slice_003.png"]
    assert np.array_equal(imageio.imread(paths[0]), picture(scan, labels, 0))


def test_a_table_has_a_row_per_class_and_leaves_unknowns_empty(scan, labels, tmp_path):
    path = write_quantities(quantities(labels, scan), tmp_path / "millilitres.csv")
    with path.open(newline="") as stream:
        rows = {row["class"]: row for row in csv.DictReader(stream)}
    assert list(rows) == ["ggo", "consolidation", "effusion", "infection"]
    assert float(rows["ggo"]["ml"]) == pytest.approx(40 * 0.01)
    assert rows["ggo"]["percent_of_lung"] == ""
    assert rows["effusion"]["mean_hu"] == ""
