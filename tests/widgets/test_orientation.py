from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_covseg.volume import Geometry
from napari_covseg.widgets.orientation import Edges, edges, patient_position
from napari_covseg.widgets.picture import camera

READING = Geometry((10, 20, 30), np.array([[0, 0, -0.7, 9], [0, -0.7, 0, 8], [-5, 0, 0, 7], [0, 0, 0, 1.0]]))
"""Slices down the patient, rows to the back, columns to the left."""


@pytest.mark.parametrize(
    ("displayed", "expected"),
    [((1, 2), Edges("R", "L", "A", "P")), ((0, 2), Edges("R", "L", "S", "I")), ((0, 1), Edges("A", "P", "S", "I"))],
)
def test_letters_of_axial_coronal_and_sagittal(displayed: tuple[int, int], expected: Edges) -> None:
    assert edges(READING, displayed) == expected


def test_letters_follow_a_transposed_picture_and_a_camera_that_was_turned_over() -> None:
    assert edges(READING, (2, 1)) == Edges("A", "P", "R", "L")
    assert edges(READING, (1, 2), ("up", "right")) == Edges("R", "L", "P", "A")
    assert edges(READING, (1, 2), ("down", "left")) == Edges("L", "R", "A", "P")


@pytest.mark.parametrize(("degrees", "right"), [(10, "L"), (25, "LP"), (44, "LP"), (46, "PL"), (80, "P")])
def test_an_oblique_edge_has_two_letters_the_nearer_one_first(degrees: float, right: str) -> None:
    turn = np.radians(degrees)
    affine = READING.affine.copy()
    affine[:3, 2] = (-0.7 * np.cos(turn), -0.7 * np.sin(turn), 0)
    affine[:3, 1] = (0.7 * np.sin(turn), -0.7 * np.cos(turn), 0)
    assert edges(Geometry(READING.shape, affine), (1, 2)).right == right


def test_a_place_in_the_patient_is_told_by_its_sides() -> None:
    assert patient_position((34.2, -12.4, 120)) == "R 34  P 12  S 120 mm"
    assert patient_position((-0.4, 0.0, -7)) == "L 0  P 0  I 7 mm"


def letters(driver: Any) -> dict[str, str]:
    return {place: label.text() for place, label in driver.desk.furniture.letters.labels.items()}


@pytest.mark.parametrize("signs", [(-1, -1, 1), (1, 1, 1), (1, -1, -1)])
def test_the_patients_right_is_on_the_left_of_the_screen_whatever_the_files_axes(
    window: Any, tmp_path: Path, signs: tuple[int, int, int]
) -> None:
    """A bright voxel far right, front and up in the patient shows where the letters say."""
    affine = np.diag([1.5 * signs[0], 1.5 * signs[1], 3.0 * signs[2], 1.0])
    hu = np.full((40, 48, 12), -900, dtype=np.int16)
    corner = tuple(0 if sign < 0 else n - 1 for sign, n in zip(signs, hu.shape, strict=True))
    hu[corner] = 500
    nib.save(nib.Nifti1Image(hu, affine), tmp_path / "case_ct.nii.gz")
    driver = window()
    driver.open(tmp_path / "case_ct.nii.gz")
    assert letters(driver) == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    (bright,) = np.argwhere(driver.desk.link.layers.scan.data == 500)
    assert tuple(bright) == (0, 0, 0)
    top_left, bottom_right = driver.pixel(0, 0), driver.pixel(47, 39)
    assert top_left.x() < bottom_right.x()
    assert top_left.y() < bottom_right.y()


def test_letters_follow_the_picture_and_go_away_in_3d(at_work: Any) -> None:
    dims = at_work.viewer.dims
    dims.order = (1, 0, 2)
    assert letters(at_work) == {"left": "R", "right": "L", "top": "S", "bottom": "I"}
    dims.order = (0, 2, 1)
    assert letters(at_work) == {"left": "A", "right": "P", "top": "R", "bottom": "L"}
    dims.order = (0, 1, 2)
    camera(at_work.viewer).orientation2d = ("down", "left")
    assert letters(at_work)["left"] == "L"
    dims.ndisplay = 3
    assert set(letters(at_work).values()) == {""}


def test_a_scan_is_shown_upright_although_napari_was_set_otherwise(window: Any, scan_path: Path) -> None:
    driver = window()
    camera(driver.viewer).orientation2d = ("up", "left")
    driver.open(scan_path)
    assert [str(each) for each in camera(driver.viewer).orientation2d] == ["down", "right"]
    assert letters(driver)["left"] == "R"


def test_letters_stay_at_the_edges_when_the_window_grows(at_work: Any) -> None:
    right = at_work.desk.furniture.letters.labels["right"]
    before = right.x()
    at_work.viewer.window.resize(1500, 900)
    at_work.live(0.3)
    assert right.x() > before
    assert right.x() + right.width() <= at_work.canvas.width()


def test_the_table_position_stands_beside_the_slice_number(at_work: Any) -> None:
    at_work.viewer.dims.set_current_step(0, 0)
    assert "table 33.0 mm" in at_work.desk.furniture.note.label.text()
    at_work.viewer.dims.set_current_step(0, 11)
    assert "table 0.0 mm" in at_work.desk.furniture.note.label.text()
