from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from .conftest import SHAPE

LEFT = Qt.MouseButton.LeftButton
COLUMN = {"lesion": 0, "ml": 1, "hu": 2, "slices": 3}


def propose(driver: Any) -> None:
    """A large ground glass on slices 3–7, a small consolidation on slice 10."""
    values = np.zeros(SHAPE, dtype=np.uint8)
    values[2:7, 18:30, 6:18] = 1
    values[9, 30:34, 25:29] = 2
    for index in (*range(2, 7), 9):
        driver.session.propose(index, values[index], "a network", "run")


@pytest.fixture
def rows(at_work: Any) -> Any:
    """The table with two lesions in it, on screen."""
    propose(at_work)
    at_work.tabs.show_panel("Review")
    rows = at_work.tabs.panels["Review"].lesions
    at_work.until(lambda: len(rows.model.lesions) == 2)
    return rows


def told(rows: Any) -> list[list[str]]:
    view = rows.table.model()
    return [
        [view.data(view.index(row, column)) for column in range(view.columnCount())] for row in range(view.rowCount())
    ]


def click(driver: Any, rows: Any, row: int) -> None:
    at = rows.table.visualRect(rows.table.model().index(row, 0)).center()
    QTest.mouseClick(rows.table.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, at)
    driver.live(0.1)


def test_every_lesion_is_told_with_millilitres_density_and_slices(at_work: Any, rows: Any) -> None:
    voxel_ml = 3.0 * 1.5 * 1.5 / 1000
    hu = at_work.bench.current.scan.hu
    large, small = told(rows)
    assert large[0] == "Ground-glass"
    assert float(large[1]) == pytest.approx(5 * 12 * 12 * voxel_ml, abs=0.05)
    assert float(large[2].replace("−", "-")) == pytest.approx(hu[2:7, 18:30, 6:18].mean(), abs=0.6)
    assert large[3] == "3–7"
    assert (small[0], small[3]) == ("Consolidation", "10")


def test_a_key_leads_from_lesion_to_lesion_and_round_again(at_work: Any, rows: Any) -> None:
    at_work.viewer.dims.set_current_step(0, 0)
    for kind, slices in (("Ground-glass", range(2, 7)), ("Consolidation", [9]), ("Ground-glass", range(2, 7))):
        at_work.key(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
        assert at_work.viewer.dims.current_step[0] in slices
        assert told(rows)[rows.table.selectionModel().selectedRows()[0].row()][0] == kind
    at_work.session.undo()
    at_work.until(lambda: rows.watch.is_up_to_date)
    at_work.key(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert at_work.tabs.state_line.message.text() == "There is no lesion to go to."


def test_the_key_counts_first_where_no_table_is_on_screen(at_work: Any) -> None:
    propose(at_work)
    at_work.tabs.show_panel("Open")
    at_work.live(0.1)
    at_work.viewer.dims.set_current_step(0, 0)
    at_work.key(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    at_work.until(lambda: at_work.viewer.dims.current_step[0] in range(2, 7))


def test_a_click_goes_to_the_lesion(at_work: Any, rows: Any) -> None:
    at_work.viewer.dims.set_current_step(0, 0)
    click(at_work, rows, 1)
    assert at_work.viewer.dims.current_step[0] == 9
    assert at_work.lesions.data[at_work.viewer.dims.current_step] == 2
    hair = at_work.desk.furniture.ortho.cross_hair
    assert hair.across.isVisible()
    at_work.until(lambda: not hair.across.isVisible())
    click(at_work, rows, 0)
    assert 2 <= at_work.viewer.dims.current_step[0] < 7


def test_the_arrows_go_from_lesion_to_lesion_and_letters_still_reach_the_window(at_work: Any, rows: Any) -> None:
    click(at_work, rows, 0)
    QTest.keyClick(rows.table, Qt.Key.Key_Down)
    at_work.live(0.1)
    assert at_work.viewer.dims.current_step[0] == 9
    QTest.keyClick(rows.table, Qt.Key.Key_R)
    at_work.live(0.1)
    assert at_work.session.reviewed == (9,)


def test_a_click_on_a_heading_sorts(at_work: Any, rows: Any) -> None:
    header = rows.table.horizontalHeader()
    at = QPoint(header.sectionViewportPosition(COLUMN["ml"]) + 10, header.height() // 2)
    assert [row[0] for row in told(rows)] == ["Ground-glass", "Consolidation"]
    QTest.mouseClick(header.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, at)
    at_work.live(0.1)
    assert [row[0] for row in told(rows)] == ["Consolidation", "Ground-glass"]


def test_a_lesion_is_relabelled_and_deleted_and_undone(at_work: Any, rows: Any) -> None:
    before = at_work.session.labels.values.copy()
    click(at_work, rows, 1)
    rows.relabel.menu().actions()[2].trigger()
    at_work.until(lambda: [row[0] for row in told(rows)] == ["Ground-glass", "Effusion"])
    assert (at_work.session.labels.values[9, 30:34, 25:29] == 3).all()
    click(at_work, rows, 1)
    QTest.keyClick(rows.table, Qt.Key.Key_Delete)
    at_work.until(lambda: len(told(rows)) == 1)
    assert not at_work.session.labels.values[9].any()
    for _ in range(2):
        at_work.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    at_work.until(lambda: [row[0] for row in told(rows)] == ["Ground-glass", "Consolidation"])
    assert np.array_equal(at_work.session.labels.values, before)


def test_a_lesion_that_is_deleted_in_the_table_takes_marks_away_and_says_so(at_work: Any, rows: Any) -> None:
    at_work.session.mark_reviewed(9)
    click(at_work, rows, 1)
    QTest.keyClick(rows.table, Qt.Key.Key_Delete)
    at_work.live(0.1)
    assert at_work.session.reviewed == ()
    assert at_work.tabs.state_line.message.text().endswith("No longer marked reviewed: slice 10.")


def test_the_table_follows_the_brush(at_work: Any, rows: Any) -> None:
    at_work.viewer.dims.set_current_step(0, 11)
    at_work.key(Qt.Key.Key_D)
    at_work.stroke((10, 30), (10, 34))
    at_work.until(lambda: "Effusion" in [row[0] for row in told(rows)])


def test_without_a_choice_and_after_signing_the_buttons_say_why(at_work: Any, rows: Any) -> None:
    assert not rows.delete.isEnabled()
    assert "Choose" in rows.delete.toolTip()
    click(at_work, rows, 0)
    assert rows.delete.isEnabled()
    at_work.session.mark_reviewed(0)
    at_work.session.sign()
    at_work.live(0.1)
    assert not rows.delete.isEnabled()
    assert "signed" in rows.delete.toolTip()


def test_without_lesions_it_says_what_to_do_first(at_work: Any) -> None:
    at_work.tabs.show_panel("Review")
    at_work.live(0.2)
    rows = at_work.tabs.panels["Review"].lesions
    assert "Segment" in rows.heading.text()
    assert not rows.table.isVisible()
    propose(at_work)
    assert rows.heading.text() == "Counting the lesions…"
