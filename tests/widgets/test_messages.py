from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qtpy.QtCore import Qt

COMPLAINT = "There is no lesion at that place; nothing was changed."


@pytest.fixture(params=["said", "complained"])
def told(at_work: Any, request: pytest.FixtureRequest) -> Any:
    """A window in which something was said, or complained about."""
    getattr(at_work.bench, request.param).emit(COMPLAINT)
    at_work.live()
    assert said(at_work).endswith(COMPLAINT)
    return at_work


def said(driver: Any) -> str:
    return str(driver.tabs.state_line.message.text())


def test_a_message_ends_with_the_next_stroke(told: Any) -> None:
    told.key(Qt.Key.Key_A)
    assert said(told).endswith(COMPLAINT)
    told.stroke((20, 10), (30, 25))
    told.until(lambda: not said(told))
    assert not told.tabs.state_line.message.isVisible()


def test_a_message_ends_with_a_mark(told: Any) -> None:
    told.key(Qt.Key.Key_R)
    assert not said(told)


def test_a_message_ends_when_something_is_opened_from_another_panel(told: Any) -> None:
    told.tabs.panels["Open"].sample_button.click()
    assert not said(told)


def test_a_message_ends_with_a_run_and_not_with_what_a_network_draws(
    quick_network: Callable[[float], None], told: Any
) -> None:
    quick_network(0.02)
    panel = told.tabs.panels["Segment"]
    panel.go.click()
    assert not said(told)
    told.until(lambda: panel._run.progress.done > 2)
    told.bench.complained.emit(COMPLAINT)
    done = panel._run.progress.done
    told.until(lambda: panel._run.progress.done > done + 2)
    assert said(told).endswith(COMPLAINT)
    told.until(lambda: not told.bench.runner.busy)


def test_a_tool_that_waits_says_so_until_it_was_used(at_work: Any) -> None:
    at_work.tabs.show_panel("Review")
    grow = at_work.tabs.panels["Review"].tools.buttons["Grow"]
    grow.click()
    assert said(at_work) == "Grow: now click the place on the picture (Esc puts the tool down)."
    at_work.key(Qt.Key.Key_Escape)
    assert not said(at_work)


def test_what_a_reader_typed_is_no_markup(at_work: Any) -> None:
    line = at_work.tabs.state_line
    for each in (line.message, line.running, line.saved):
        assert each.textFormat() == Qt.TextFormat.PlainText
    at_work.bench.said.emit("promoted all the same by Dr A: looks right <b>in</b> the left")
    assert "<b>in</b>" in line.message.text()
