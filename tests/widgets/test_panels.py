from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QStyle, QStyleOptionComboBox

from napari_covseg.widgets.panel import NOTHING_OPEN
from napari_covseg.widgets.review_panel import ReviewPanel

LEFT = ["Segment", "Review", "Learn", "Export"]


def test_empty_panels_say_what_to_do_first(window: Any, no_weights: None) -> None:
    panels = window().tabs.panels
    assert panels["Open"].line.text().startswith("Open a chest CT")
    for title in LEFT:
        button = panels[title].reviewed_button if title == "Review" else panels[title].go
        assert not button.isEnabled()
        assert button.toolTip() == NOTHING_OPEN
        assert panels[title].why.text() == NOTHING_OPEN


def test_every_button_has_a_tooltip_and_every_disabled_one_says_why(
    window: Any, scan_path: Path, no_weights: None
) -> None:
    driver = window()
    for _ in range(2):
        for title, panel in driver.tabs.panels.items():
            for button in panel.findChildren(QAbstractButton):
                if button.text() not in ("", "…", "Choose directory", "Select Directory"):
                    assert button.toolTip(), (title, button.text())
        driver.open(scan_path)


def test_open_says_what_was_opened(at_work: Any) -> None:
    line = at_work.tabs.panels["Open"].line.text()
    assert line.startswith("CT, 12 slices of 40×48, 1.5×1.5×3.0 mm, −9")
    assert line.endswith(" HU")


def test_a_path_that_is_not_there_is_told_in_words(window: Any, tmp_path: Path) -> None:
    driver = window()
    driver.tabs.panels["Open"].open(tmp_path / "nothing.nii")
    driver.until(lambda: "There is no file" in driver.tabs.state_line.message.text())


def test_without_weights_segment_and_learn_say_so(at_work: Any, no_weights: None) -> None:
    at_work.session.mark_reviewed(2)
    for title in ("Segment", "Learn"):
        panel = at_work.tabs.panels[title]
        panel._show_state()
        assert not panel.go.isEnabled()
        assert "No trained weights" in panel.why.text()


def test_the_big_button_segments_and_becomes_cancel(window: Any, scan_path: Path, quick_network: Any) -> None:
    quick_network(0.1)
    driver = window()
    driver.open(scan_path)
    panel = driver.tabs.panels["Segment"]
    panel.choose_scope("range")
    panel.first.setValue(3)
    panel.last.setValue(8)
    panel.go.click()
    assert panel.go.text() == "Cancel"
    driver.until(lambda: "of 6 slices" in panel.progress.text())
    panel.go.click()
    driver.until(lambda: not driver.bench.runner.busy)
    assert panel.go.text() == "Segment"
    assert panel.go.isEnabled()
    found = set(np.flatnonzero(driver.session.labels.values.any(axis=(1, 2))))
    assert found
    assert found < set(range(2, 8))
    assert "stopped" in driver.tabs.state_line.message.text()


def test_this_slice_is_the_one_on_screen(window: Any, scan_path: Path, quick_network: Any) -> None:
    quick_network()
    driver = window()
    driver.open(scan_path)
    driver.viewer.dims.set_current_step(0, 4)
    panel = driver.tabs.panels["Segment"]
    panel.choose_scope("slice")
    panel.go.click()
    driver.until(lambda: not driver.bench.runner.busy)
    assert np.flatnonzero(driver.session.labels.values.any(axis=(1, 2))).tolist() == [4]
    assert "mL" in driver.tabs.panels["Review"].classes.millilitres["ggo"].text()
    assert driver.tabs.state_line.saved.text().startswith("Saved ")


def test_slices_that_are_all_reviewed_are_not_run(window: Any, scan_path: Path, quick_network: Any) -> None:
    quick_network()
    driver = window()
    driver.open(scan_path)
    for index in range(12):
        driver.session.mark_reviewed(index)
    driver.tabs.panels["Segment"].go.click()
    assert "reviewed or corrected by you already" in driver.tabs.state_line.message.text()
    assert "take its mark back in Review" in driver.tabs.state_line.message.text()


def test_open_says_what_is_next_as_the_session_stands(at_work: Any) -> None:
    line = at_work.tabs.panels["Open"].session_line
    assert line.text() == "Next: Segment, then correct and review."
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (30, 25))
    at_work.until(lambda: line.text().startswith("Next: Review"))
    for index in range(5):
        at_work.session.mark_reviewed(index)
    assert line.text() == "Reviewed: slices 1–5. Next: Review, 7 slices to go."
    for index in range(5, 12):
        at_work.session.mark_reviewed(index)
    assert line.text() == "Reviewed: slices 1–12. Next: sign in Review, then Export."
    at_work.session.sign()
    assert line.text().startswith("This scan was signed by")


def test_review_tells_what_undo_takes_back(at_work: Any) -> None:
    panel = at_work.tabs.panels["Review"]
    assert panel.history.undo.toolTip() == "Nothing to undo."
    at_work.lesions.paint((6, 20, 20), 2)
    at_work.until(lambda: panel.history.undo.isEnabled())
    assert "on slice 7" in panel.history.undo.toolTip()
    panel.history.undo.click()
    assert not at_work.lesions.data.any()
    assert "on slice 7" in panel.history.redo.toolTip()
    panel.history.redo.click()
    assert at_work.lesions.data.any()


def test_undo_and_redo_are_never_scrolled_away(at_work: Any) -> None:
    tabs, history = at_work.tabs, at_work.tabs.panels["Review"].history
    tabs.show_panel("Review")
    at_work.desk.complained.emit("A sentence so long that it takes more than a line of the panel. " * 3)
    bar = tabs.tabs.currentWidget().verticalScrollBar()
    for place in (0, bar.maximum()):
        bar.setValue(place)
        at_work.live(0.1)
        for each in (history.undo, history.redo):
            assert each.visibleRegion().boundingRect() == each.rect()
            assert tabs.rect().contains(each.mapTo(tabs, each.rect().bottomRight()))
    tabs.show_panel("Segment")
    assert not history.isVisible()
    alone = ReviewPanel(at_work.viewer)
    assert alone.history.parentWidget() is alone


def test_signing_asks_once_without_a_dialogue(at_work: Any) -> None:
    panel = at_work.tabs.panels["Review"]
    assert panel.sign_button.toolTip() == "Review at least one slice first."
    panel.reviewed_button.click()
    assert panel.marks.text() == "Reviewed 1 of 12 slices: 7"
    panel.sign_button.click()
    assert at_work.session.signature is None
    assert "again" in panel.sign_button.text()
    panel.sign_button.click()
    assert at_work.session.signature is not None
    assert not panel.reviewed_button.isEnabled()
    assert "signed" in at_work.tabs.panels["Segment"].why.text()
    assert at_work.tabs.state_line.saved.text().startswith("Signed by")


def test_the_brush_is_measured_in_millimetres(at_work: Any) -> None:
    brush = at_work.tabs.panels["Review"].brush
    brush.size.setValue(15)
    assert at_work.lesions.brush_size == 10
    assert brush.size_mm.text() == "Brush 15 mm"


def test_export_says_where_the_mask_went(at_work: Any, tmp_path: Path) -> None:
    panel = at_work.tabs.panels["Export"]
    panel.folder.value = tmp_path / "out"
    panel.go.click()
    at_work.until(lambda: "read back" in panel.where.text())
    assert (tmp_path / "out" / "case_lesion.nii.gz").exists()
    assert panel.show_folder.isVisibleTo(panel)


def test_export_says_that_nothing_is_marked_and_only_then(at_work: Any, tmp_path: Path) -> None:
    empty = "Nothing is marked in case_lesion.nii.gz: it holds no lesion of any class."
    panel, message = at_work.tabs.panels["Export"], at_work.tabs.state_line.message
    panel.folder.value = tmp_path / "empty"
    panel.go.click()
    at_work.until(lambda: "read back" in panel.where.text())
    assert panel.where.text().endswith(empty)
    assert message.text().endswith(empty)
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (30, 25))
    at_work.until(lambda: at_work.session.labels.values.any())
    panel.folder.value = tmp_path / "marked"
    panel.go.click()
    at_work.until(lambda: str(tmp_path / "marked") in panel.where.text())
    assert empty not in panel.where.text()
    assert message.text() == f"Exported into {tmp_path / 'marked'}."


def test_no_label_is_cut_at_1280_by_800(at_work: Any) -> None:
    for title, panel in at_work.tabs.panels.items():
        at_work.tabs.show_panel(title)
        at_work.live(0.05)
        for button in panel.findChildren(QAbstractButton):
            if button.isVisible() and button.text():
                needed = button.fontMetrics().horizontalAdvance(button.text())
                assert button.width() >= needed, (title, button.text())
        assert panel.width() <= at_work.tabs.tabs.width()
    assert at_work.viewer.window._qt_window.width() <= 1280


def test_what_undo_would_undo_is_told_whole_at_1280_by_800(at_work: Any) -> None:
    at_work.tabs.show_panel("Review")
    title = "Residual Attention U-Net on 64 slices, taught by m.okafor"
    at_work.session.propose(6, np.ones(at_work.lesions.data.shape[1:], dtype=np.uint8), title, "run")
    told = at_work.tabs.panels["Review"].history.told
    at_work.until(lambda: told.height() >= told.heightForWidth(told.width()) > told.fontMetrics().height())
    assert told.text() == f"Undo: {title}"
    assert at_work.viewer.window._qt_window.height() <= 800


def test_the_choice_of_another_network_is_not_cut_before_there_is_one(at_work: Any) -> None:
    at_work.tabs.show_panel("Review")
    at_work.live(0.1)
    box = at_work.tabs.panels["Review"].tools.other
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    style = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
    room = box.style().subControlRect(style[0], option, style[1], box)
    assert room.width() >= box.fontMetrics().horizontalAdvance(box.currentText())


def test_a_mask_that_is_there_is_replaced_only_when_asked_twice(at_work: Any, tmp_path: Path) -> None:
    panel = at_work.tabs.panels["Export"]
    panel.folder.value = tmp_path
    reference = tmp_path / "case_lesion.nii.gz"
    reference.write_bytes(b"somebody's work")
    panel.go.click()
    at_work.live(0.1)
    assert reference.read_bytes() == b"somebody's work"
    assert "Press again" in panel.where.text()
    assert panel.go.text() == "Replace the mask"
    panel.go.click()
    at_work.until(lambda: "read back" in panel.where.text())
    assert reference.read_bytes() != b"somebody's work"
    assert panel.go.text() == "Export the mask"


def test_what_was_said_of_one_scan_is_gone_with_the_next(at_work: Any, scan_path: Path) -> None:
    at_work.bench.complained.emit("This session is signed.")
    at_work.live(0.1)
    assert at_work.tabs.state_line.message.isVisible()
    at_work.open(scan_path)
    assert not at_work.tabs.state_line.message.isVisible()
