from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QRadioButton

from napari_covseg.widgets.theme import ON_DARK, ON_LIGHT


@pytest.fixture
def active(at_work: Any) -> Any:
    QApplication.setActiveWindow(at_work.viewer.window._qt_window)
    at_work.live(0.1)
    return at_work


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_return_presses_the_button_that_has_the_focus(active: Any, key: Any) -> None:
    active.tabs.show_panel("Review")
    button = active.tabs.panels["Review"].reviewed_button
    button.setFocus()
    QTest.keyClick(button, key)
    assert active.session.reviewed == (6,)


def test_return_chooses_and_unfolds_too(active: Any) -> None:
    active.tabs.show_panel("Segment")
    panel = active.tabs.panels["Segment"]
    QTest.keyClick(panel._scopes.button(0), Qt.Key.Key_Return)
    assert panel.scope == "slice"
    QTest.keyClick(panel.more, Qt.Key.Key_Return)
    assert panel.form.native.isVisible()


def test_every_button_can_be_pressed_by_return(active: Any) -> None:
    ours = [each for each in active.tabs.findChildren(QAbstractButton) if each.focusPolicy() != Qt.FocusPolicy.NoFocus]
    assert len(ours) > 40
    for each in ours:
        pressed: list[bool] = []
        with suppress(TypeError):  # what is listened to nowhere
            each.clicked.disconnect()
        each.clicked.connect(lambda *_, pressed=pressed: pressed.append(True))
        each.setEnabled(True)
        QTest.keyClick(each, Qt.Key.Key_Return)
        assert pressed == [True], each.text() or each.toolTip()


def test_return_in_the_folder_field_goes_on_to_the_button_and_a_second_exports(active: Any, tmp_path: Path) -> None:
    active.tabs.show_panel("Export")
    panel = active.tabs.panels["Export"]
    field = panel.folder.line_edit.native
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, str(tmp_path))
    QTest.keyClick(field, Qt.Key.Key_Return)
    active.live()
    assert panel.go.hasFocus()
    assert not active.bench.runner.busy
    QTest.keyClick(panel.go, Qt.Key.Key_Return)
    active.until(lambda: "read back" in panel.where.text())


def offset(of: Any, to: Any) -> Any:
    return of.parentWidget().mapTo(to.parentWidget(), QPoint(0, 0)) if of.parent() is not to.parent() else QPoint(0, 0)


def ring(driver: Any) -> Any:
    return driver.desk.furniture.focus_ring.ring


@pytest.mark.parametrize(("theme", "colour"), [("dark", ON_DARK), ("light", ON_LIGHT)])
def test_a_ring_shows_where_the_keyboard_is(active: Any, theme: str, colour: str) -> None:
    active.viewer.theme = theme
    active.tabs.show_panel("Segment")
    seen = set()
    active.tabs.tabs.tabBar().setFocus()
    for _ in range(9):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        active.viewer.window._qt_window.activateWindow()  # another window of the screen may have come before it
        active.live(0.05)
        focused = QApplication.focusWidget()
        if focused is active.canvas:
            break
        active.until(lambda focused=focused: ring(active) is not None and ring(active).widget() is focused)
        around = ring(active)
        grabbed = around.parentWidget().grab(around.geometry()).toImage()
        assert around.geometry().contains(focused.geometry().translated(offset(focused, around)))
        edge = {grabbed.pixelColor(x, 1).name() for x in range(grabbed.width())}
        assert QColor(colour).name() in edge, focused
        seen.add(type(focused))
    assert QRadioButton in seen


@pytest.mark.parametrize(("theme", "colour"), [("dark", ON_DARK), ("light", ON_LIGHT)])
def test_the_ring_stands_out(theme: str, colour: str) -> None:
    known = get_theme(theme)
    for behind in (known.background, known.foreground, known.primary):
        assert contrast(QColor(colour), QColor(behind.as_hex())) > 3


def contrast(one: QColor, other: QColor) -> float:
    """WCAG 2.1's contrast ratio."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: QColor) -> float:
    linear = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (colour.redF(), colour.greenF(), colour.blueF())
    )
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_picture_and_what_was_clicked_have_no_ring(active: Any) -> None:
    active.tabs.show_panel("Review")
    button = active.tabs.panels["Review"].tools.by_hu
    active.canvas.setFocus()
    assert ring(active) is None
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    active.live()
    assert ring(active) is None


def test_question_mark_shows_the_keys_from_anywhere_but_a_text_field(active: Any) -> None:
    sheet, tabs = active.desk.furniture.cheat_sheet, active.tabs
    places = {
        "Open": (tabs.panels["Open"].sample_button, tabs.tabs.tabBar()),
        "Segment": (tabs.panels["Segment"].network, tabs.panels["Segment"].more),
        "Review": (
            tabs.panels["Review"].brush.size,
            tabs.panels["Review"].lesions.table,
            tabs.panels["Review"].reviewed_button,
            tabs.panels["Review"].signing.found,
        ),
    }
    for title, widgets in places.items():
        tabs.show_panel(title)
        for place in (*widgets, active.viewer.window._qt_viewer.layers, active.canvas):
            for is_shown in (True, False):
                QTest.keyClick(place, "?", Qt.KeyboardModifier.ShiftModifier)
                assert sheet.isVisible() is is_shown, place
    tabs.show_panel("Export")
    field = tabs.panels["Export"].folder.line_edit.native
    field.setFocus()
    QTest.keyClicks(field, "?")
    assert field.text().endswith("?")
    assert not sheet.isVisible()
