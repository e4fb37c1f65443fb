from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_covseg.volume import Geometry
from tests.io.series import series_in

from .conftest import write_scan


def asked(driver: Any) -> Any:
    return driver.tabs.findChild(_question_type())


def _question_type() -> Any:
    from napari_covseg.widgets.series import Question

    return Question


def test_of_several_series_the_reader_chooses_one_and_it_opens(window: Any, tmp_path: Path) -> None:
    from qtpy.QtWidgets import QListWidget

    folder = series_in(tmp_path / "case", series_uid="1.2.3.1111", count=3)
    series_in(folder, series_uid="1.2.3.2222", count=4)
    driver = window()
    driver.open(folder)
    question = asked(driver)
    assert not question.isHidden()
    (choices,) = question.findChildren(QListWidget)
    assert [choices.item(row).text() for row in range(2)] == ["1: CT, Thorax, 3 slices", "2: CT, Thorax, 4 slices"]
    assert choices.currentRow() == 1  # the one with most slices
    choices.setCurrentRow(0)
    question.go.click()
    driver.until(lambda: driver.bench.current is not None)
    assert driver.session.geometry.shape[0] == 3
    assert question.isHidden()


def test_a_tilted_scan_opens_when_the_reader_wants_it_straightened(window: Any, tmp_path: Path) -> None:
    import nibabel as nib

    path = write_scan(tmp_path / "tilted.nii.gz")
    image = nib.load(path)
    affine = image.affine.copy()
    affine[1, 2] = 0.5
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)
    driver = window()
    driver.open(path)
    assert driver.bench.current is None
    asked(driver).go.click()
    driver.until(lambda: driver.bench.current is not None)
    assert driver.bench.current.scan.geometry.tilt_degrees == pytest.approx(0, abs=1e-5)


def test_slices_without_a_place_open_with_the_spacing_that_is_entered(window: Any, tmp_path: Path) -> None:
    from qtpy.QtWidgets import QDoubleSpinBox

    driver = window()
    driver.open(series_in(tmp_path / "lost", lambda index: {"ImagePositionPatient": None}))
    question = asked(driver)
    boxes = question.findChildren(QDoubleSpinBox)
    assert [box.text() for box in boxes] == ["–"] * 3  # nothing is made up
    for box, mm in zip(boxes, (0.8, 0.8, 4.0), strict=True):
        assert not question.go.isEnabled()
        assert "all three distances" in question.go.toolTip()
        box.setValue(mm)
    assert question.go.isEnabled()
    question.go.click()
    driver.until(lambda: driver.bench.current is not None)
    geometry: Geometry = driver.bench.current.scan.geometry
    assert geometry.spacing_mm == pytest.approx((4.0, 0.8, 0.8))


def test_a_picture_opens_with_the_window_that_is_chosen(window: Any, tmp_path: Path) -> None:
    import imageio.v3 as imageio

    imageio.imwrite(tmp_path / "slice.png", np.arange(64 * 48, dtype=np.uint8).reshape(64, 48))
    driver = window()
    driver.open(tmp_path / "slice.png")
    assert driver.tabs.state_line.message.text().endswith("state the window that it shows.")
    asked(driver).go.click()
    driver.until(lambda: driver.bench.current is not None)
    assert (driver.bench.current.scan.hu.min(), driver.bench.current.scan.hu.max()) == (-1350, 150)
