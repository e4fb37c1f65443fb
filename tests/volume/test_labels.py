from __future__ import annotations

import numpy as np
import pytest

from napari_covseg.volume import LESIONS, LUNGS, ClassScheme, Geometry, LabelClass, LabelMap, Provenance

GRID = Geometry((2, 3, 4), np.eye(4))


def class_of(value, name):
    return LabelClass(value, name, name.title(), "#ffffff")


def test_lesions_carry_the_published_values():
    assert {c.name: c.value for c in LESIONS} == {"ggo": 1, "consolidation": 2, "effusion": 3, "infection": 4}
    assert LUNGS["lung"].value == 1


@pytest.mark.parametrize("value", [1, 255])
def test_a_value_that_fits_a_byte_is_accepted(value):
    assert ClassScheme((class_of(value, "a"),))["a"].value == value


@pytest.mark.parametrize("value", [0, 256])
def test_background_and_what_fits_no_byte_are_refused(value):
    with pytest.raises(ValueError, match="between 1 and 255"):
        ClassScheme((class_of(value, "a"),))


@pytest.mark.parametrize("other", [class_of(1, "b"), class_of(2, "a")])
def test_two_classes_share_neither_value_nor_name(other):
    with pytest.raises(ValueError, match="share a value or a name"):
        ClassScheme((class_of(1, "a"), other))


def test_a_scheme_of_some_names_has_their_order_and_their_values():
    some = LESIONS.of("effusion", "ggo")
    assert some.names == ("effusion", "ggo")
    assert [c.value for c in some] == [3, 1]


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match="ggo, consolidation"):
        LESIONS.of("tumour")


def test_a_mask_is_found_by_name_not_by_index():
    values = np.zeros(GRID.shape, np.uint8)
    values[0, 1, 2] = 3
    labels = LabelMap(values, GRID, LESIONS.of("effusion", "ggo"))
    assert np.argwhere(labels.where("effusion")).tolist() == [[0, 1, 2]]
    assert not labels.where("ggo").any()


def test_labels_of_another_shape_than_their_grid_are_refused():
    with pytest.raises(ValueError, match="their grid is"):
        LabelMap(np.zeros((2, 3, 5), np.uint8), GRID)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.bool_])
def test_labels_that_are_not_bytes_are_refused(dtype):
    with pytest.raises(ValueError, match="uint8"):
        LabelMap(np.zeros(GRID.shape, dtype), GRID)


def test_other_voxels_keep_scheme_and_provenance():
    labels = LabelMap(np.zeros(GRID.shape, np.uint8), GRID, LUNGS, Provenance(source="reader", reader="HD"))
    other = labels.with_voxels(np.ones((1, 1, 1), np.uint8), Geometry((1, 1, 1), np.eye(4)))
    assert other.scheme is LUNGS
    assert other.provenance.reader == "HD"
