from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_covseg.widgets.looks import Looks

from .conftest import SHAPE

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def signing(at_work: Any) -> Any:
    """Consolidation on one slice alone, where there is air; that slice is reviewed."""
    values = np.zeros(SHAPE[1:], dtype=np.uint8)
    values[20:30, 25:35] = 2
    at_work.session.propose(9, values, "a network", "run")
    at_work.session.mark_reviewed(9)
    at_work.viewer.dims.set_current_step(0, 2)
    at_work.tabs.show_panel("Review")
    at_work.live(0.1)
    at_work.signing = at_work.tabs.panels["Review"].signing
    return at_work


def press(driver: Any, button: Any) -> None:
    assert button.isEnabled(), button.toolTip()
    QTest.mouseClick(button, LEFT)
    driver.live(0.1)


def test_what_is_odd_is_told_before_signing_and_a_click_goes_there(signing: Any) -> None:
    rows = signing.signing
    press(signing, rows.button)
    signing.until(lambda: rows.found)
    assert any("unlikely density" in each.text() for each in rows.found)
    assert all(each.text().startswith("Slice 10") for each in rows.found)
    assert signing.session.signature is None
    press(signing, rows.found[0])
    assert signing.viewer.dims.current_step[0] == 9
    press(signing, rows.button)
    assert signing.session.signature is not None
    assert not rows.found


def test_a_correction_makes_it_look_again(signing: Any) -> None:
    rows = signing.signing
    press(signing, rows.button)
    signing.until(lambda: rows.found)
    signing.session.undo()
    signing.live(0.1)
    assert not rows.found
    assert rows.button.text() == "Sign"


def test_a_signed_session_is_opened_again_as_a_new_version(signing: Any) -> None:
    rows = signing.signing
    signing.session.sign()
    signing.live(0.1)
    assert rows.button.text() == "Open again"
    press(signing, rows.button)
    assert signing.session.signature is None
    assert signing.session.version == 2
    signing.key(Qt.Key.Key_R)
    assert 2 in signing.session.marks


def test_a_mark_keeps_how_long_its_slice_was_on_screen(at_work: Any) -> None:
    at_work.desk.furniture.looks.close()
    now = [0.0]
    at_work.desk.furniture.looks = Looks(at_work.desk, lambda: now[0])
    for seconds, index in ((2.0, 3), (5.0, 4), (5.5, 3)):
        now[0] = seconds
        at_work.viewer.dims.set_current_step(0, index)
    now[0] = 8.0
    at_work.key(Qt.Key.Key_R)
    assert at_work.session.marks[3].seen_s == pytest.approx(3.0 + 2.5)
    at_work.session.mark_reviewed(4)
    assert at_work.session.marks[4].seen_s == pytest.approx(0.5)
