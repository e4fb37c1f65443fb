"""The log is one click away, in a window of its own, and is read beside the window's thread."""

from __future__ import annotations

import csv
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_covseg.review import log_lines
from napari_covseg.review.recovery import FILE_NAME


@pytest.fixture
def with_log(at_work: Any) -> Any:
    """Two strokes and a mark, and the log shown by a click."""
    at_work.tabs.show_panel("Review")
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (24, 14))
    at_work.stroke((30, 10), (34, 14))
    at_work.key(Qt.Key.Key_R)
    at_work.live(0.2)
    at_work.history = at_work.tabs.panels["Review"].history
    return at_work


def click(driver: Any, button: Any) -> None:
    assert button.isVisible()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def whats(log: Any) -> list[str]:
    return [log.model.index(row, 2).data() for row in range(log.model.rowCount())]


def read(driver: Any) -> Any:
    driver.until(lambda: driver.history.log is not None and driver.history.log.model.rowCount() > 0)
    driver.live(0.1)
    return driver.history.log


def test_a_click_shows_who_did_what_the_newest_first_and_says_that_it_verified(with_log: Any, tmp_path: Path) -> None:
    click(with_log, with_log.history.log_button)
    log = read(with_log)
    assert log.isVisible()
    assert not log.isModal()
    assert log.windowTitle() == "Log of case_ct"
    said = whats(log)
    assert said[0] == "Marked reviewed"
    assert len(said) == 3
    assert all(each.startswith("Brush on slice") for each in said[1:])
    assert "All 3 entries of this log are as they were written" in log.verdict.text()
    assert log.place.text() == f"This session is kept in {with_log.session.folder}"
    assert log.place.textInteractionFlags() & Qt.TextInteractionFlag.TextSelectableByMouse
    assert with_log.tabs.state_line.saved.toolTip() == log.place.text()
    run = log.write(tmp_path / "log.csv")
    with_log.until(lambda: run.over)
    with (tmp_path / "log.csv").open(newline="", encoding="utf-8-sig") as stream:
        assert [row["what"] for row in csv.DictReader(stream)] == said[::-1]


def test_it_is_read_beside_the_window(with_log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    resume = log_lines.ReviewSession.resume
    monkeypatch.setattr(
        log_lines.ReviewSession,
        "resume",
        lambda *args, **kwargs: threads.append(threading.current_thread()) or resume(*args, **kwargs),
    )
    click(with_log, with_log.history.log_button)
    assert not with_log.history.log.export.isEnabled()
    read(with_log)
    assert threads
    assert threading.main_thread() not in threads
    assert with_log.history.log.export.isEnabled()


def test_it_goes_on_with_what_is_done_and_says_what_was_changed_outside(with_log: Any) -> None:
    click(with_log, with_log.history.log_button)
    log = read(with_log)
    with_log.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    click(with_log, log.again)
    with_log.until(lambda: log.model.rowCount() > 3)
    assert any(each.startswith("Undone: brush") for each in whats(log))
    with sqlite3.connect(with_log.session.folder / FILE_NAME) as other:
        other.execute("UPDATE event SET reader = 'Dr B' WHERE seq = 1")
    other.close()
    click(with_log, log.again)
    with_log.until(lambda: log.verdict.text().startswith("⚠"))
    assert "changed" in log.verdict.text()


def test_without_a_scan_the_button_says_why(window: Any) -> None:
    driver = window()
    driver.tabs.show_panel("Review")
    driver.live(0.1)
    button = driver.tabs.panels["Review"].history.log_button
    assert not button.isEnabled()
    assert button.toolTip().startswith("Open a scan first")
