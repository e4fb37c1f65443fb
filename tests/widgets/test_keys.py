from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_covseg.review import relabel_by_hu
from napari_covseg.widgets.grip import LET_GO
from napari_covseg.widgets.layers import slipped_in

SELECTED = ["lesions", "outlines", "case_ct"]


def note(driver: Any) -> str:
    return driver.desk.furniture.note.label.text()


@pytest.fixture(params=SELECTED)
def any_layer(at_work: Any, request: pytest.FixtureRequest) -> Any:
    at_work.viewer.layers.selection.active = at_work.viewer.layers[request.param]
    return at_work


def test_every_key_works_whatever_layer_is_selected(any_layer: Any) -> None:
    selected = any_layer.viewer.layers.selection.active
    any_layer.key(Qt.Key.Key_Period)
    assert any_layer.viewer.dims.current_step[0] == 7
    any_layer.key(Qt.Key.Key_Comma)
    assert any_layer.viewer.dims.current_step[0] == 6
    any_layer.key(Qt.Key.Key_W)
    assert tuple(any_layer.desk.link.layers.scan.contrast_limits) == (-160, 240)
    QTest.keyPress(any_layer.canvas, Qt.Key.Key_H)
    assert not any_layer.lesions.visible
    assert not any_layer.desk.link.layers.outlines.visible
    QTest.keyRelease(any_layer.canvas, Qt.Key.Key_H)
    assert any_layer.lesions.visible
    assert any_layer.desk.link.layers.outlines.visible
    QTest.keyPress(any_layer.canvas, Qt.Key.Key_O)
    assert any_layer.lesions.visible
    assert not any_layer.desk.link.layers.outlines.visible
    QTest.keyRelease(any_layer.canvas, Qt.Key.Key_O)
    assert any_layer.desk.link.layers.outlines.visible
    for key, value in ((Qt.Key.Key_A, 1), (Qt.Key.Key_S, 2), (Qt.Key.Key_D, 3), (Qt.Key.Key_Q, 4)):
        any_layer.viewer.layers.selection.active = selected
        any_layer.key(key)
        assert any_layer.lesions.selected_label == value
        assert any_layer.lesions.mode == "paint"


@pytest.mark.parametrize(("key", "mode"), [(Qt.Key.Key_P, "paint"), (Qt.Key.Key_E, "erase")])
def test_the_brush_is_taken_up_whatever_layer_is_selected(any_layer: Any, key: Any, mode: str) -> None:
    any_layer.lesions.data[6] = 1
    any_layer.key(key)
    assert any_layer.viewer.layers.selection.active is any_layer.lesions
    assert any_layer.lesions.mode == mode
    any_layer.lesions.selected_label = 2
    any_layer.stroke((20, 10), (30, 25))
    assert any_layer.session.labels.values[6, 25, 18] == (2 if mode == "paint" else 0)


@pytest.mark.parametrize("name", ["outlines", "case_ct"])
def test_the_brush_is_put_down_in_words_when_another_layer_is_selected(at_work: Any, name: str) -> None:
    panel = at_work.tabs.panels["Review"]
    at_work.key(Qt.Key.Key_A)
    at_work.viewer.layers.selection.active = at_work.viewer.layers[name]
    at_work.live()
    assert at_work.lesions.mode == "pan_zoom"
    assert panel.brush.modes.checkedButton().text() == "Move"
    assert at_work.tabs.state_line.message.text() == LET_GO


def test_the_brush_stays_in_hand_when_a_layer_is_slipped_in(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_A)
    slipped_in(Image(np.zeros((2, 2, 2))), at_work.viewer.layers, below=at_work.lesions)
    at_work.live()
    assert at_work.lesions.mode == "paint"


def test_r_marks_the_slice_and_shows_the_next_that_is_open(at_work: Any) -> None:
    at_work.session.mark_reviewed(7)
    at_work.key(Qt.Key.Key_R)
    assert at_work.session.reviewed == (6, 7)
    assert at_work.viewer.dims.current_step[0] == 8
    assert note(at_work).startswith("slice 9 of 12\n")
    for _ in range(10):
        at_work.key(Qt.Key.Key_R)
    assert len(at_work.session.reviewed) == 12


def test_painting_on_a_reviewed_slice_takes_its_mark_back(at_work: Any) -> None:
    at_work.session.mark_reviewed(6)
    assert note(at_work) == "slice 7 of 12   ✓ reviewed\ntable 15.0 mm"
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (30, 25))
    assert at_work.session.reviewed == ()


def test_ctrl_z_gives_back_the_labels_and_the_marks_that_one_mistaken_step_took(at_work: Any) -> None:
    values = np.zeros((12, 48, 40), np.uint8)
    values[:, 20:30, 10:20] = 1
    at_work.session.absorb(values, "network", "a network")
    for _ in range(12):
        at_work.key(Qt.Key.Key_R)
    marks, said = at_work.session.marks, []
    at_work.bench.said.connect(said.append)
    assert len(marks) == 12
    at_work.bench.tools.apply(partial(relabel_by_hu, above_hu=-5000.0))
    assert at_work.session.marks == {}
    at_work.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(at_work.session.labels.values, values)
    assert at_work.session.marks == marks
    assert said[-1].endswith("Marked reviewed again: slices 1–12.")
    at_work.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert at_work.session.marks == {}
    assert said[-1].endswith("No longer marked reviewed: slices 1–12.")


def test_ctrl_z_of_a_stroke_that_was_marked_reviewed_since_says_that_the_mark_is_gone(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (30, 25))
    at_work.session.mark_reviewed(6)
    said: list[str] = []
    at_work.bench.said.connect(said.append)
    at_work.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert at_work.session.marks == {}
    assert said == ["Undone: brush on slice 7. No longer marked reviewed: slice 7."]


def test_no_scan_no_harm(window: Any) -> None:
    driver = window()
    for key in (Qt.Key.Key_R, Qt.Key.Key_A, Qt.Key.Key_W, Qt.Key.Key_H, Qt.Key.Key_Period):
        driver.key(key)
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)


def test_keys_work_while_a_button_of_a_panel_has_the_focus(at_work: Any) -> None:
    at_work.tabs.show_panel("Review")
    for button in (at_work.tabs.panels["Review"].sign_button, at_work.tabs.panels["Review"].brush.modes.button(0)):
        button.setFocus()
        index = at_work.viewer.dims.current_step[0]
        QTest.keyClick(button, Qt.Key.Key_Period)
        assert at_work.viewer.dims.current_step[0] == index + 1
