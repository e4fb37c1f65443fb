from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel

from .conftest import SHAPE


def read_by(window: Any, reader: str, scan_path: Path) -> Any:
    driver = window()
    driver.bench.reader = reader
    driver.open(scan_path)
    driver.tabs.show_panel("Review")
    driver.live(0.1)
    driver.rows = driver.tabs.panels["Review"].readers
    return driver


def press(driver: Any, button: Any) -> None:
    driver.tabs.tabs.currentWidget().ensureWidgetVisible(button)
    driver.live(0.05)
    assert button.isEnabled(), button.toolTip()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    driver.live(0.1)


def mark(driver: Any, columns: slice) -> None:
    values = np.zeros(SHAPE[1:], dtype=np.uint8)
    values[10:20, columns] = 1
    driver.session.propose(4, values, "a network", "run")
    driver.session.mark_reviewed(4)
    driver.live(0.1)


def test_a_second_reader_begins_beside_the_first_and_sees_how_far_they_agree(window: Any, scan_path: Path) -> None:
    first = read_by(window, "dr_a", scan_path)
    assert not first.rows.isVisible()
    mark(first, slice(10, 20))
    first.desk.close()

    second = read_by(window, "dr_b", scan_path)
    assert second.session.begun_by == "dr_a"
    line = second.tabs.state_line
    assert "This is the reading of dr_a." in line.message.text()
    assert line.saved.text() == "The reading of dr_a, to be looked at only; nothing is saved."
    before = second.session.labels.values.copy()
    second.stroke((24, 10), (24, 20))
    assert np.array_equal(second.session.labels.values, before)
    assert np.array_equal(second.lesions.data, before)
    assert not second.tabs.panels["Review"].sign_button.isEnabled()
    assert second.rows.agree.toolTip() == "Nobody else has read this scan yet."
    press(second, second.rows.begin)
    second.until(lambda: second.session.begun_by == "dr_b" and not second.bench.runner.busy)
    second.live(0.1)
    assert not second.rows.begin.isEnabled()
    assert not second.session.labels.values.any()
    press(second, second.rows.agree)
    second.until(lambda: not second.bench.tool_runner.busy)
    assert "no reviewed slice in common" in second.tabs.state_line.message.text()

    mark(second, slice(15, 25))
    press(second, second.rows.agree)
    second.until(second.rows.told.text)
    said = second.rows.told.text()
    assert said.startswith("Dice of <b>dr_b</b> and <b>dr_a</b> on 1 slice: opacities 0.50, ground-glass 0.50")
    second.session.unmark(4)
    second.live(0.1)
    assert second.rows.told.text() == ""


def of_this_reading(driver: Any) -> list[str]:
    """Return every sentence on the panel that says that it is only looked at."""
    labels = [each for each in driver.tabs.findChildren(QLabel) if each.isVisible()]
    return [each.text() for each in labels if "looked at" in each.text()]


def test_that_a_session_is_only_looked_at_is_said_once_and_the_tools_stay_in_sight(
    window: Any, scan_path: Path
) -> None:
    first = read_by(window, "dr_a", scan_path)
    mark(first, slice(10, 20))
    first.desk.close()
    second = read_by(window, "dr_b", scan_path)
    (said,) = of_this_reading(second)
    assert said.startswith("⚠ This is the reading of dr_a.")
    assert "press Second reading" in said
    tools = second.tabs.panels["Review"].tools
    assert not tools.visibleRegion().isEmpty()
    second.key(Qt.Key.Key_A)  # a class, which is the reader's next act
    second.desk.acted.emit()
    second.live(0.1)
    assert of_this_reading(second) == ["The reading of dr_a, to be looked at only; nothing is saved."]
