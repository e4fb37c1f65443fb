from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_covseg.io.remembered import FILE_NAME, MOST_RECENT, Recent, Remembered, remember, remembered
from napari_covseg.io.stated import Stated

from .conftest import write_scan

COPY, LEFT, NONE = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def drop(place: Any, *paths: Path) -> tuple[bool, bool]:
    """Drag files in and let go; return what was accepted."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    enter = QDragEnterEvent(QPoint(50, 50), COPY, mime, LEFT, NONE)
    enter.ignore()
    QApplication.sendEvent(place, enter)
    let_go = QDropEvent(QPointF(50, 50), COPY, mime, LEFT, NONE)
    let_go.ignore()
    QApplication.sendEvent(place, let_go)
    return enter.isAccepted(), let_go.isAccepted()


def places(driver: Any) -> dict[str, Any]:
    window = driver.viewer.window
    welcome = window._qt_viewer._welcome_widget
    return {"window": window._qt_window, "picture": window._qt_viewer, "canvas": driver.canvas, "welcome": welcome}


@pytest.mark.parametrize("where", ["window", "picture", "canvas", "welcome"])
def test_a_file_dropped_anywhere_is_opened_once_by_the_compute_thread(
    window: Any, scan_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = window()
    monkeypatch.setattr(
        type(driver.viewer.window._qt_viewer), "_qt_open", lambda *_, **__: pytest.fail("napari read it")
    )
    assert drop(places(driver)[where], scan_path) == (True, True)
    assert driver.bench.runner.busy
    driver.until(lambda: driver.desk.link.layers is not None)
    assert [layer.name for layer in driver.viewer.layers] == ["case_ct", "lesions", "outlines"]


def test_a_folder_of_dicom_slices_is_opened_when_dropped(window: Any, covseg_data: Path) -> None:
    driver = window()
    drop(places(driver)["window"], covseg_data / "dicom" / "lung_dx_a0002")
    driver.until(lambda: driver.desk.link.layers is not None)
    assert driver.session.geometry.shape[0] == 30


@pytest.mark.parametrize("name", ["case_lesion.nii.gz", "notes.txt", "slice.png"])
def test_what_is_no_scan_is_left_to_napari(
    window: Any, scan_path: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, given = window(), []
    monkeypatch.setattr(type(driver.viewer.window._qt_viewer), "_qt_open", lambda _, names, **__: given.extend(names))
    shutil.copy(scan_path, tmp_path / name)
    drop(places(driver)["picture"], tmp_path / name)
    assert given == [str(tmp_path / name)]
    assert not driver.bench.runner.busy


def test_several_files_are_left_to_napari(window: Any, scan_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, given = window(), []
    monkeypatch.setattr(type(driver.viewer.window._qt_viewer), "_qt_open", lambda _, names, **__: given.extend(names))
    drop(places(driver)["picture"], scan_path, scan_path)
    assert len(given) == 2


def test_recent_scans_come_back_with_a_click(window: Any, scan_path: Path, tmp_path: Path) -> None:
    driver = window()
    recent = driver.tabs.panels["Open"].recent
    assert not recent.isVisible()
    driver.open(scan_path)
    assert [each.text() for each in recent.buttons] == []
    driver.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    assert [each.text() for each in recent.buttons] == ["case_ct"]
    assert recent.isVisible()
    recent.buttons[0].click()
    driver.until(lambda: driver.viewer.layers[0].name == "case_ct")
    assert [each.text() for each in recent.buttons] == ["other_ct"]
    driver.viewer.close()
    again = window().tabs.panels["Open"].recent
    assert [each.text() for each in again.buttons] == ["case_ct", "other_ct"]


def test_a_recent_scan_that_is_gone_says_so(window: Any, scan_path: Path, tmp_path: Path) -> None:
    driver = window()
    driver.open(scan_path)
    driver.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    scan_path.unlink()
    driver.viewer.close()
    buttons = {each.text(): each for each in window().tabs.panels["Open"].recent.buttons}
    assert buttons["other_ct"].isEnabled()
    assert not buttons["case_ct"].isEnabled()
    assert "not there any more" in buttons["case_ct"].toolTip()


def test_what_is_remembered_comes_back_and_the_list_does_not_grow_forever(tmp_path: Path) -> None:
    assert remembered(tmp_path) == Remembered()
    known = Remembered(tour_taken=True)
    for number in (*range(12), 5):
        known = known.opened(Recent(tmp_path / f"{number}.nii", f"{number}", Stated(window_hu=(-1000.0, 400.0))))
    remember(tmp_path, known)
    assert remembered(tmp_path) == known
    assert [each.name for each in known.recent] == ["5", "11", "10", "9", "8", "7", "6", "4"][:MOST_RECENT]


@pytest.mark.parametrize("text", ["", "{", '{"recent": 3}', "[]"])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert remembered(tmp_path) == Remembered()
