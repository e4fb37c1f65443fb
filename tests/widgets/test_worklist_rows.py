from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_covseg.review.whose_list import NAME_VARIABLE
from napari_covseg.review.worklist import FILE_NAME, URL_VARIABLE, Worklist
from napari_covseg.widgets.list_name_row import OWN

from .conftest import write_scan

LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scans, and a label map that is none."""
    made = tmp_path / "monday"
    made.mkdir()
    for seed, name in enumerate(("anna_ct", "bert_ct", "cleo_ct")):
        write_scan(made / f"{name}.nii.gz", seed)
    write_scan(made / "anna_lesion.nii.gz")
    return made


@pytest.fixture
def listed(window: Any, folder: Path) -> Any:
    driver = window()
    driver.rows = driver.tabs.panels["Open"].worklist
    driver.rows.choose(folder)
    driver.until(lambda: driver.rows.worklist is not None and not driver.bench.runner.busy)
    driver.live(0.1)
    return driver


def told(driver: Any) -> list[tuple[str, ...]]:
    view = driver.rows.view
    return [tuple(view.item(row, column).text() for column in range(3)) for row in range(view.rowCount())]


def press(driver: Any, button: Any) -> None:
    assert button.isVisible()
    assert button.isEnabled(), button.toolTip()
    QTest.mouseClick(button, LEFT)
    driver.live(0.05)


def choose(driver: Any, row: int) -> None:
    view = driver.rows.view
    QTest.mouseClick(view.viewport(), LEFT, NONE, view.visualItemRect(view.item(row, 0)).center())
    driver.live(0.05)


def opened(driver: Any, name: str) -> None:
    driver.until(lambda: driver.bench.current is not None and driver.bench.current.scan.name == name)
    driver.until(lambda: not driver.bench.runner.busy)


def test_a_folder_is_listed_without_its_label_maps(listed: Any) -> None:
    assert told(listed) == [("anna_ct", "new", ""), ("bert_ct", "new", ""), ("cleo_ct", "new", "")]
    assert "3 scans, 3 new" in listed.rows.heading.text()


def test_next_opens_one_and_after_signing_the_one_after_it(listed: Any) -> None:
    me = listed.bench.reader
    press(listed, listed.rows.next_button)
    opened(listed, "anna_ct")
    assert told(listed)[0] == ("anna_ct", "in review", me)
    press(listed, listed.rows.next_button)
    assert listed.bench.current.scan.name == "anna_ct"
    listed.session.mark_reviewed(0)
    listed.session.sign()
    listed.until(lambda: told(listed)[0] == ("anna_ct", "signed ✓", me))
    press(listed, listed.rows.next_button)
    opened(listed, "bert_ct")


def test_who_puts_the_scan_on_screen_back_is_told_what_that_means(listed: Any) -> None:
    press(listed, listed.rows.next_button)
    opened(listed, "anna_ct")
    choose(listed, 0)
    press(listed, listed.rows.back_button)
    assert told(listed)[0] == ("anna_ct", "new", "")
    assert "It is still open here" in listed.tabs.state_line.message.text()
    listed.session.mark_reviewed(0)
    listed.until(lambda: told(listed)[0] == ("anna_ct", "in review", listed.bench.reader))


def test_a_double_click_opens_the_chosen_scan_and_another_readers_is_left_theirs(listed: Any, folder: Path) -> None:
    other = Worklist(folder)
    other.take(folder / "bert_ct.nii.gz", "dr_other")
    other.close()
    choose(listed, 2)
    view = listed.rows.view
    QTest.mouseDClick(view.viewport(), LEFT, NONE, view.visualItemRect(view.item(2, 0)).center())
    opened(listed, "cleo_ct")
    assert told(listed)[1:] == [("bert_ct", "in review", "dr_other"), ("cleo_ct", "in review", listed.bench.reader)]
    complaints: list[str] = []
    listed.bench.complained.connect(complaints.append)
    choose(listed, 1)
    press(listed, listed.rows.back_button)
    assert "dr_other" in complaints[-1]
    assert told(listed)[1] == ("bert_ct", "in review", "dr_other")


def test_what_another_reader_signed_is_not_put_back_by_a_click(listed: Any, folder: Path) -> None:
    other = Worklist(folder)
    other.sign(folder / "anna_ct.nii.gz", "dr_other")
    other.reject(folder / "bert_ct.nii.gz", "dr_other", "motion")
    other.close()
    listed.rows.choose(folder)
    listed.until(lambda: told(listed)[0][1] == "signed ✓" and not listed.bench.runner.busy)
    before = told(listed)
    assert [row[2] for row in before] == ["dr_other", "dr_other", ""]
    complaints: list[str] = []
    listed.bench.complained.connect(complaints.append)
    for row in (0, 1):
        choose(listed, row)
        press(listed, listed.rows.back_button)
    assert told(listed) == before
    assert complaints == [
        "dr_other signed anna_ct; only they can put it back.",
        "dr_other rejected bert_ct; only they can put it back.",
    ]


def test_a_scan_is_rejected_with_a_reason_and_put_back(listed: Any, folder: Path) -> None:
    choose(listed, 1)
    press(listed, listed.rows.reject_button)
    QTest.keyClicks(listed.rows.why, "cut at the base")
    QTest.keyClick(listed.rows.why, Qt.Key.Key_Return)
    listed.live(0.05)
    assert told(listed)[1][1] == "rejected"
    assert "cut at the base" in listed.rows.view.item(1, 0).toolTip()
    assert not listed.rows.reject_button.isEnabled()
    press(listed, listed.rows.back_button)
    assert told(listed)[1] == ("bert_ct", "new", "")


def test_search_and_order(listed: Any) -> None:
    QTest.keyClicks(listed.rows.search, "cle")
    listed.live(0.05)
    assert [row[0] for row in told(listed)] == ["cleo_ct"]
    assert "3 scans" in listed.rows.heading.text()
    listed.rows.search.clear()
    header = listed.rows.view.horizontalHeader()
    QTest.mouseClick(header.viewport(), LEFT, NONE, QPoint(10, header.height() // 2))
    listed.live(0.05)
    assert [row[0] for row in told(listed)] == ["cleo_ct", "bert_ct", "anna_ct"]


def test_a_scan_opened_another_way_is_taken_too_and_the_folder_is_there_next_time(
    listed: Any, folder: Path, window: Any
) -> None:
    listed.open(folder / "bert_ct.nii.gz")
    assert told(listed)[1][1:] == ("in review", listed.bench.reader)
    listed.desk.close()
    again = window()
    again.rows = again.tabs.panels["Open"].worklist
    again.until(lambda: again.rows.worklist is not None)
    again.live(0.1)
    assert told(again)[1][1] == "in review"


def test_a_folder_that_is_gone_is_told(window: Any, tmp_path: Path) -> None:
    driver = window()
    complaints: list[str] = []
    driver.bench.complained.connect(complaints.append)
    driver.tabs.panels["Open"].worklist.choose(tmp_path / "nowhere")
    driver.until(lambda: complaints)
    assert "nowhere" in complaints[0]


def test_a_database_that_is_gone_is_told_and_the_window_goes_on(listed: Any) -> None:
    complaints: list[str] = []
    listed.bench.complained.connect(complaints.append)
    choose(listed, 1)
    database = listed.bench.folder / FILE_NAME
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ALTER TABLE covseg_scan RENAME TO elsewhere")
    for button in (listed.rows.next_button, listed.rows.reject_button):
        press(listed, button)
    QTest.keyClicks(listed.rows.why, "cut at the base")
    QTest.keyClick(listed.rows.why, Qt.Key.Key_Return)
    said = len(complaints)
    QTest.keyClicks(listed.rows.search, "a")
    assert len(complaints) > said > 2
    assert all(each.startswith("The worklist could not be reached (OperationalError)") for each in complaints)


@pytest.fixture
def departments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that a department named by URL."""
    monkeypatch.setenv(URL_VARIABLE, f"sqlite:///{tmp_path / 'shared.sqlite'}")
    monkeypatch.delenv(NAME_VARIABLE, raising=False)


@pytest.mark.usefixtures("departments")
def test_the_panel_says_which_list_it_is_and_a_name_that_is_typed_shares_it(
    listed: Any, folder: Path, window: Any, tmp_path: Path
) -> None:
    which = listed.rows.which
    assert which.isVisible()
    assert which.told.text() == OWN
    assert f"{folder.parent.name}/monday" in listed.rows.heading.text()
    QTest.keyClicks(which.typed, " chest ")
    QTest.keyClick(which.typed, Qt.Key.Key_Return)
    listed.until(lambda: listed.rows.worklist.name == "chest" and not listed.bench.runner.busy)
    assert str(folder) in which.told.text()
    listed.rows.worklist.sign(folder / "anna_ct.nii.gz", "dr_other")
    listed.desk.close()
    again = window()
    again.rows = again.tabs.panels["Open"].worklist
    again.until(lambda: again.rows.worklist is not None and not again.bench.runner.busy)
    assert told(again)[0] == ("anna_ct", "signed ✓", "dr_other")  # the same list the day after
    other = tmp_path / "tuesday"
    other.mkdir()
    write_scan(other / "anna_ct.nii.gz", 9)
    again.rows.choose(other)
    again.until(lambda: again.rows.worklist.folder == other and not again.bench.runner.busy)
    assert told(again) == [("anna_ct", "new", "")]
    complaints: list[str] = []
    again.bench.complained.connect(complaints.append)
    again.rows.which.typed.setText("chest")
    QTest.keyClick(again.rows.which.typed, Qt.Key.Key_Return)
    again.until(lambda: complaints)
    assert "“chest” is that of" in complaints[0]
    assert (again.rows.which.typed.text(), told(again)) == ("", [("anna_ct", "new", "")])


def test_a_list_of_ones_own_asks_for_no_name(listed: Any) -> None:
    assert listed.rows.which.isHidden()
