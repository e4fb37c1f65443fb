from __future__ import annotations

import getpass
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
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


def test_a_reader_types_who_she_is_and_the_next_window_knows(window: Any, scan_path: Path) -> None:
    driver = window()
    field = driver.tabs.panels["Open"].reader
    assert field.text() == driver.bench.reader == getpass.getuser()
    field.selectAll()
    QTest.keyClicks(field, "Dr Anna")
    QTest.keyClick(field, Qt.Key.Key_Return)
    driver.open(scan_path)
    driver.key(Qt.Key.Key_R)
    assert driver.session.begun_by == "Dr Anna"
    assert [mark.reader for mark in driver.session.marks.values()] == ["Dr Anna"]
    assert window().tabs.panels["Open"].reader.text() == "Dr Anna"


def test_a_folder_of_dicom_slices_is_opened_when_dropped(window: Any, covseg_data: Path) -> None:
    driver = window()
    drop(places(driver)["window"], covseg_data / "dicom" / "lung_dx_a0002")
    driver.until(lambda: driver.desk.link.layers is not None)
    assert driver.session.geometry.shape[0] == 30


@pytest.fixture
def undisturbed(window: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A window where napari, which would ask in a dialog who shall read, is never asked to open a file."""
    driver = window()
    qt_viewer = type(driver.viewer.window._qt_viewer)
    monkeypatch.setattr(qt_viewer, "_qt_open", lambda *_, **__: pytest.fail("napari was asked"))
    return driver


def said(driver: Any) -> str:
    driver.live(0.05)
    return str(driver.tabs.state_line.message.text())


@pytest.mark.parametrize("where", ["window", "picture", "canvas", "welcome"])
@pytest.mark.parametrize(
    ("name", "sentence"),
    [("case_lesion.nii.gz", "⚠ case_lesion.nii.gz is a label"), ("notes.txt", "⚠ There is no chest CT in notes.txt")],
)
def test_what_is_no_scan_is_refused_in_a_sentence(
    undisturbed: Any, scan_path: Path, tmp_path: Path, where: str, name: str, sentence: str
) -> None:
    shutil.copy(scan_path, tmp_path / name)
    assert drop(places(undisturbed)[where], tmp_path / name) == (True, True)
    assert said(undisturbed).startswith(sentence)
    assert not undisturbed.bench.runner.busy
    assert len(undisturbed.viewer.layers) == 0


def test_several_files_are_asked_for_in_their_folder(undisturbed: Any, scan_path: Path) -> None:
    drop(places(undisturbed)["picture"], scan_path, scan_path)
    assert said(undisturbed).startswith("⚠ Drop one scan at a time")
    assert not undisturbed.bench.runner.busy


def test_an_empty_folder_holds_no_scan(undisturbed: Any, tmp_path: Path) -> None:
    drop(places(undisturbed)["picture"], made_folder(tmp_path))
    assert said(undisturbed).startswith("⚠ There is no chest CT in monday")


def made_folder(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "monday"
    folder.mkdir()
    for seed, name in enumerate(names):
        write_scan(folder / f"{name}.nii.gz", seed)
    return folder


def test_a_folder_of_scans_goes_to_the_worklist_and_the_open_panel_comes(undisturbed: Any, tmp_path: Path) -> None:
    undisturbed.tabs.show_panel("Review")
    drop(places(undisturbed)["picture"], made_folder(tmp_path, "anna_ct", "bert_ct", "bert_lesion"))
    undisturbed.until(lambda: undisturbed.bench.shelf.worklist is not None)
    rows = undisturbed.tabs.panels["Open"].worklist
    undisturbed.until(lambda: rows.view.rowCount() == 2)
    assert rows.isVisible()
    assert said(undisturbed).startswith("monday: 2 scans on the worklist")


def test_a_folder_of_one_scan_is_that_scan(undisturbed: Any, tmp_path: Path) -> None:
    drop(places(undisturbed)["canvas"], made_folder(tmp_path, "anna_ct", "anna_lesion"))
    undisturbed.until(lambda: undisturbed.desk.link.layers is not None)
    assert undisturbed.bench.current.scan.name == "anna_ct"


def test_a_picture_asks_for_its_spacing_in_the_open_panel(undisturbed: Any, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (64, 1))).save(tmp_path / "slice.png")
    undisturbed.tabs.show_panel("Review")
    drop(places(undisturbed)["picture"], tmp_path / "slice.png")
    undisturbed.until(lambda: undisturbed.tabs.panels["Open"].question.isVisible())


def test_text_that_is_dragged_is_none_of_ours(window: Any) -> None:
    driver, mime = window(), QMimeData()
    mime.setText("a word")
    enter = QDragEnterEvent(QPoint(50, 50), COPY, mime, LEFT, NONE)
    enter.ignore()
    QApplication.sendEvent(places(driver)["window"], enter)
    assert not enter.isAccepted()


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
