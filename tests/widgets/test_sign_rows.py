from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_covseg.measure.findings import Finding, FindingKind
from napari_covseg.widgets.looks import Looks
from napari_covseg.widgets.sign_rows import SIGN_WAITS_MS

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


def click(driver: Any, tree: Any, item: Any) -> None:
    QTest.mouseClick(tree.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, tree.visualItemRect(item).center())
    driver.live(0.1)


def test_what_is_odd_is_told_before_signing_and_a_click_goes_there(signing: Any) -> None:
    rows = signing.signing
    press(signing, rows.button)
    warning = "11 slices of 12 are not reviewed"
    assert warning in rows.heading.text()
    signing.until(lambda: rows.found.headings)
    assert warning in rows.heading.text()
    odd = {heading.text(0): [heading.child(0).text(0)] for heading in rows.found.headings}
    assert odd["Unlikely density: 1 place"] == ["Slice 10 · 0.7 mL"]
    assert signing.session.signature is None
    rows._armed.start(50)  # whoever looks for long at what was found need not begin again
    signing.until(lambda: not rows._armed.isActive())
    assert rows.button.text() == "Sign"
    rows._armed.setInterval(SIGN_WAITS_MS)
    click(signing, rows.found, rows.found.headings[-1].child(0))
    assert signing.viewer.dims.current_step[0] == 9
    assert signing.tabs.state_line.message.text().startswith("Slice 10")
    press(signing, rows.button)
    assert signing.session.signature is not None
    assert not rows.found.isVisible()


def test_many_are_told_by_kind_with_a_count_and_each_is_there(signing: Any) -> None:
    tree = signing.signing.found
    outside = [Finding("outside the body", (index % 12, 1, 2), "Outside.", 1.0 - index / 100) for index in range(40)]
    tree.show_findings([*outside, Finding("hardly seen", (3, 5, 5), "Never.")])
    signing.live(0.1)
    assert [heading.text(0) for heading in tree.headings] == [
        "Outside the body: 40 places",
        "On screen under 0.5 s: 1 slice",
    ]
    assert not any(heading.isExpanded() for heading in tree.headings)
    click(signing, tree, tree.headings[0])
    assert signing.viewer.dims.current_step == (0, 1, 2)
    assert tree.headings[0].isExpanded()
    for number in (7, 39):
        item = tree.headings[0].child(number)
        tree.scrollToItem(item)
        click(signing, tree, item)
        assert signing.viewer.dims.current_step[0] == number % 12
    assert tree.height() < 170


@pytest.mark.parametrize("kind", get_args(FindingKind))
def test_no_heading_is_cut_beside_the_bar_that_scrolls(signing: Any, kind: FindingKind) -> None:
    tree = signing.signing.found
    tree.show_findings([Finding(kind, (0, 1, 2), "Look.", 1.0)] * 512)
    tree.expandAll()
    signing.live(0.1)
    assert tree.verticalScrollBar().isVisible()
    assert tree.sizeHintForColumn(0) <= tree.viewport().width()


def test_where_all_is_reviewed_no_slice_is_warned_of(signing: Any) -> None:
    for index in range(11):
        if index not in signing.session.marks:
            signing.session.mark_reviewed(index)
    press(signing, signing.signing.button)
    assert "1 slice of 12 is not reviewed" in signing.signing.heading.text()
    signing.session.mark_reviewed(11)
    press(signing, signing.signing.button)
    assert "not reviewed" not in signing.signing.heading.text()


def test_a_correction_makes_it_look_again(signing: Any) -> None:
    rows = signing.signing
    press(signing, rows.button)
    signing.until(lambda: rows.found.headings)
    signing.session.undo()
    signing.live(0.1)
    assert not rows.found.headings
    assert not rows.found.isVisible()
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


def test_a_double_click_neither_signs_unseen_nor_opens_again_what_was_signed(signing: Any) -> None:
    button = signing.signing.button
    QTest.mouseClick(button, LEFT)
    QTest.mouseDClick(button, LEFT)
    signing.live(0.1)
    assert signing.session.signature is None
    assert "again" in button.text()
    press(signing, button)
    assert signing.session.signature is not None
    QTest.mouseDClick(button, LEFT)
    signing.live(0.5)
    assert signing.session.signature is not None
    assert "before you sign" not in signing.signing.heading.text()
    said: list[str] = []
    signing.bench.said.connect(said.append)
    press(signing, button)
    assert signing.session.signature is None
    assert said[-1].startswith("Opened again as a new version")
