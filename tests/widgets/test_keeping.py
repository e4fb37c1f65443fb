from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog

CONTROL, NONE = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.NoModifier


def said(driver: Any) -> str:
    driver.live(0.05)
    return str(driver.tabs.state_line.message.text())


@pytest.mark.parametrize("key", [Qt.Key.Key_Delete, Qt.Key.Key_Backspace])
@pytest.mark.parametrize("name", ["case_ct", "lesions", "outlines"])
def test_delete_in_the_list_takes_no_layer_of_the_scan(at_work: Any, key: Any, name: str) -> None:
    layers = at_work.viewer.layers
    layers.selection.active = layers[name]
    QTest.keyClick(at_work.viewer.window._qt_viewer.layers, key)
    assert [layer.name for layer in layers] == ["case_ct", "lesions", "outlines"]
    assert layers.selection == {layers[name]}
    assert said(at_work).startswith("The scan and its lesions stay")


def test_delete_on_the_picture_takes_another_layer_only(at_work: Any) -> None:
    layers = at_work.viewer.layers
    mine = at_work.viewer.add_points(np.zeros((1, 3)), name="mine")
    layers.selection = {mine, layers["lesions"]}
    at_work.canvas.setFocus()
    at_work.key(Qt.Key.Key_Delete, CONTROL)
    assert [layer.name for layer in layers] == ["case_ct", "lesions", "outlines"]
    assert layers.selection == {layers["lesions"]}


def test_the_list_is_napari_s_own_again_afterwards(at_work: Any) -> None:
    at_work.desk.close()
    at_work.viewer.layers.select_all()
    QTest.keyClick(at_work.viewer.window._qt_viewer.layers, Qt.Key.Key_Delete)
    assert len(at_work.viewer.layers) == 0


def test_a_scan_taken_away_all_the_same_comes_back_by_a_click(at_work: Any) -> None:
    recent = at_work.tabs.panels["Open"].recent
    assert not recent.buttons
    at_work.viewer.layers.clear()
    at_work.live(0.1)
    assert [each.text() for each in recent.buttons] == ["case_ct"]
    recent.buttons[0].click()
    at_work.until(lambda: at_work.desk.link.layers is not None)
    at_work.live(0.1)
    assert not recent.buttons


def test_ctrl_s_says_when_it_was_saved_and_asks_nothing(at_work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: pytest.fail("napari asked where to"))
    QApplication.setActiveWindow(at_work.viewer.window._qt_window)
    for place in (at_work.canvas, at_work.tabs.panels["Open"].sample_button):
        at_work.desk.said.emit("")
        place.setFocus()
        at_work.live()
        QTest.keyClick(place, Qt.Key.Key_S, CONTROL)
        assert said(at_work) == "Nothing to save yet. Every stroke is saved as you make it."
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (30, 25))
    QTest.keyClick(at_work.canvas, Qt.Key.Key_S, CONTROL)
    assert said(at_work).startswith("Saved ")
    assert said(at_work).endswith("✓ Every stroke is saved as you make it.")


def test_ctrl_s_without_a_scan_is_napari_s(window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: asked.append(True) or ("", ""))
    driver = window()
    driver.viewer.add_points(np.zeros((1, 3)))
    QApplication.setActiveWindow(driver.viewer.window._qt_window)
    QTest.keyClick(driver.canvas, Qt.Key.Key_S, CONTROL)
    driver.live()
    assert len(asked) == 1
