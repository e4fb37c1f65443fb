from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_covseg.review import ReviewSession, history, keeping

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def corrections(session: ReviewSession) -> list[Any]:
    return [event for event in session.trail if event.kind == "correction"]


def test_a_scan_is_shown_in_reading_order_in_millimetres_with_its_grid(at_work: Any) -> None:
    layers = at_work.desk.link.layers
    assert [layer.name for layer in at_work.viewer.layers] == ["case_ct", "lesions", "outlines"]
    for layer in layers:
        np.testing.assert_allclose(layer.scale, (3.0, 1.5, 1.5))
        assert {str(unit) for unit in layer.units} == {"millimeter"}
        assert tuple(layer.axis_labels) == ("slice", "row", "column")
        assert layer.metadata["covseg"]["geometry"].orientation == "IPL"
        assert layer.metadata["covseg"]["home"].orientation == "LPS"
    assert tuple(layers.scan.contrast_limits) == (-1350, 150)
    assert layers.lesions.data.dtype == np.uint8
    assert layers.lesions.data.flags.c_contiguous
    assert layers.outlines.data is layers.lesions.data
    assert at_work.viewer.layers.selection.active is layers.lesions


def test_one_mouse_stroke_is_one_correction_in_session_and_on_disk(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_S)
    at_work.stroke((20, 10), (30, 25))
    (event,) = corrections(at_work.session)
    assert event.detail["tool"] == "brush"
    assert event.detail["title"] == "brush on slice 7"
    painted = at_work.session.labels.values
    assert painted[6, 20, 10] == painted[6, 25, 18] == painted[6, 30, 25] == 2
    assert set(np.flatnonzero(painted.any(axis=(1, 2)))) == {6}
    np.testing.assert_array_equal(painted, at_work.lesions.data)


@pytest.mark.parametrize("selected", ["lesions", "case_ct"])
def test_undo_and_redo_reach_session_and_layer_whatever_is_selected(at_work: Any, selected: str) -> None:
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (30, 25))
    at_work.viewer.layers.selection.active = at_work.viewer.layers[selected]
    at_work.key(Qt.Key.Key_Z, CTRL)
    assert not at_work.lesions.data.any()
    assert not at_work.session.labels.values.any()
    at_work.key(Qt.Key.Key_Z, CTRL | SHIFT)
    assert at_work.lesions.data[6, 25, 18] == at_work.session.labels.values[6, 25, 18] == 1
    at_work.key(Qt.Key.Key_Z, CTRL)
    at_work.key(Qt.Key.Key_Y, CTRL)
    assert at_work.session.labels.values.any()
    assert at_work.viewer.dims.ndisplay == 2


def test_what_was_painted_is_there_after_the_window_was_closed(window: Any, scan_path: Path) -> None:
    first = window()
    first.open(scan_path)
    first.key(Qt.Key.Key_D)
    first.stroke((20, 10), (30, 25))
    painted = first.lesions.data.copy()
    first.viewer.close()
    second = window()
    second.open(scan_path)
    np.testing.assert_array_equal(second.lesions.data, painted)
    assert painted.max() == 3


def test_an_edit_by_code_becomes_a_correction_too(at_work: Any) -> None:
    at_work.lesions.data[3, 4:6, 4:6] = 1
    at_work.lesions.refresh()
    at_work.until(lambda: at_work.session.undo_title)
    assert at_work.session.labels.values.sum() == 4
    at_work.lesions.fill((3, 4, 4), 2)
    at_work.until(lambda: at_work.session.labels.values.max() == 2)


def test_another_array_in_the_layer_is_taken_in(at_work: Any) -> None:
    other = np.zeros_like(at_work.lesions.data, dtype=np.int64)
    other[2, 2, 2] = 4
    at_work.lesions.data = other
    at_work.until(lambda: at_work.session.labels.values[2, 2, 2] == 4)
    assert at_work.lesions.data.dtype == np.uint8
    assert at_work.desk.link.layers.outlines.data is at_work.lesions.data


def test_a_label_that_is_no_class_is_refused_and_taken_back(at_work: Any) -> None:
    complaints: list[str] = []
    at_work.bench.complained.connect(complaints.append)
    at_work.lesions.paint((6, 20, 20), 7)
    at_work.live(0.1)
    assert not at_work.lesions.data.any()
    assert not at_work.session.undo_title
    assert "no class 7" in complaints[-1]
    at_work.lesions.selected_label = 5
    assert at_work.lesions.selected_label == 1
    assert "no class 5" in complaints[-1]


@pytest.mark.parametrize("value", [-1, -300, 5, 255, 256, 258])
def test_an_array_with_values_that_are_no_class_is_refused_whole(at_work: Any, value: int) -> None:
    at_work.lesions.paint((6, 20, 20), 2)
    at_work.live(0.1)
    before = at_work.session.labels.values.copy()
    assert before.any()
    complaints: list[str] = []
    at_work.bench.complained.connect(complaints.append)
    other = before.astype(np.int64)
    other[before > 0] = value
    at_work.lesions.data = other
    at_work.until(lambda: complaints)
    at_work.live(0.1)
    assert "no class" in complaints[-1]
    assert np.array_equal(at_work.session.labels.values, before)
    assert np.array_equal(at_work.lesions.data, before)


def test_a_signed_session_takes_its_layer_back(at_work: Any) -> None:
    at_work.session.mark_reviewed(6)
    at_work.session.sign()
    complaints: list[str] = []
    at_work.bench.complained.connect(complaints.append)
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (30, 25))
    assert not at_work.lesions.data.any()
    assert "signed" in complaints[-1]


def test_a_full_disk_takes_the_stroke_back(at_work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("The disk is full.")

    monkeypatch.setattr(at_work.session.journal, "append", full)
    complaints: list[str] = []
    at_work.bench.complained.connect(complaints.append)
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (30, 25))
    assert complaints == ["The disk is full."]
    assert not at_work.lesions.data.any()


def test_what_could_not_be_saved_is_told_until_a_stroke_is_saved(at_work: Any, tmp_path: Path) -> None:
    line, folder = at_work.tabs.state_line, at_work.session.folder
    folder.rename(tmp_path / "elsewhere")
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((20, 10), (30, 25))
    assert "put it back" in line.message.text()
    assert not at_work.lesions.data.any()
    assert line.saved.text() == "Nothing to save yet."
    (tmp_path / "elsewhere").rename(folder)
    at_work.stroke((20, 10), (30, 25))
    assert at_work.lesions.data.any()
    assert line.message.text() == ""
    assert line.saved.text().startswith("Saved ")
    at_work.bench.complained.emit("Something else.")
    at_work.stroke((40, 10), (40, 25))
    assert line.message.text() == ""  # like all that was said before the reader's stroke


@pytest.mark.parametrize("by_hu", [False, True])
def test_the_log_names_the_tool_that_was_chosen_when_the_pen_was_put_down(at_work: Any, by_hu: bool) -> None:
    at_work.viewer.dims.set_current_step(0, 6)
    at_work.key(Qt.Key.Key_A)
    if by_hu:
        at_work.desk.tools.change(by_hu=True)
    at_work.stroke((20, 10), (26, 16), between=lambda: at_work.key(Qt.Key.Key_E))
    at_work.stroke((20, 10), (26, 16))
    drawn, erased = corrections(at_work.session)
    assert "eras" not in drawn.detail["tool"]
    assert "eras" in erased.detail["tool"]


def test_undo_says_where_it_ends(at_work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "SNAPSHOT_AT_LAST_AFTER", 4)
    monkeypatch.setattr(history, "UNDO_STEPS", 2)
    for row in range(20):
        values = at_work.session.labels.values.copy()
        values[3, row, 4:9] = 1
        at_work.session.absorb(values, "brush", f"row {row}")
    while at_work.session.undo_title:
        at_work.key(Qt.Key.Key_Z, CTRL)
    assert at_work.tabs.state_line.message.text().startswith("Undone: row")
    at_work.key(Qt.Key.Key_Z, CTRL)
    ended = "Undo goes back 2 steps; this is the oldest that is kept."
    assert at_work.tabs.state_line.message.text() == ended
    assert at_work.tabs.panels["Review"].history.undo.toolTip() == ended
    assert at_work.lesions.data.any()


def test_a_slice_that_a_network_finishes_under_the_pen_keeps_the_stroke(at_work: Any) -> None:
    proposal = np.ones(at_work.lesions.data.shape[1:], dtype=np.uint8)

    def finish() -> None:
        at_work.session.propose(6, proposal, "network on 1 slices", "run")
        at_work.live(0.3)

    at_work.key(Qt.Key.Key_D)
    at_work.stroke((20, 10), (30, 25), between=finish)
    assert at_work.session.labels.values[6, 25, 18] == 3
    assert at_work.session.labels.values[6, 0, 0] == 1
    assert len(corrections(at_work.session)) == 2
    at_work.key(Qt.Key.Key_Z, CTRL)
    assert (at_work.lesions.data[6] == 1).all()


def test_the_lesions_layer_can_be_thrown_away_and_nothing_is_lost(at_work: Any, scan_path: Path) -> None:
    at_work.lesions.data[3, 4, 4] = 1
    at_work.viewer.layers.remove(at_work.lesions)
    assert at_work.session.labels.values[3, 4, 4] == 1
    at_work.open(scan_path)
    assert at_work.lesions.data[3, 4, 4] == 1


def test_the_session_is_counted_as_it_changes(at_work: Any) -> None:
    voxel_ml = 3.0 * 1.5 * 1.5 / 1000
    at_work.lesions.data[3:5, 4:6, 4:6] = 2
    at_work.lesions.refresh()
    at_work.until(lambda: at_work.session.undo_title)
    assert at_work.desk.link.tally.totals_ml["consolidation"] == pytest.approx(8 * voxel_ml)
    assert at_work.desk.link.tally.fullest_slice in (3, 4)
    at_work.session.undo()
    assert at_work.desk.link.tally.fullest_slice is None


def test_only_what_is_on_screen_is_drawn_anew(at_work: Any) -> None:
    drawn: list[Any] = []
    at_work.viewer.dims.set_current_step(0, 3)
    at_work.live(0.2)
    at_work.lesions.events.set_data.connect(lambda: drawn.append(1))
    patch = np.ones(at_work.session.geometry.shape[1:], dtype=np.uint8)
    at_work.session.propose(8, patch, "test", "test")
    at_work.live(0.1)
    assert drawn == []
    at_work.session.propose(3, patch, "test", "test")
    at_work.live(0.1)
    assert drawn
    drawn.clear()
    at_work.viewer.dims.order = (1, 0, 2)
    at_work.live(0.2)
    drawn.clear()
    at_work.session.propose(9, patch, "test", "test")
    at_work.live(0.1)
    assert drawn


def test_a_stroke_on_a_reviewed_slice_says_that_its_mark_is_taken_back(at_work: Any) -> None:
    at_work.session.mark_reviewed(6)
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((24, 12), (24, 16))
    assert 6 not in at_work.session.marks
    assert at_work.tabs.state_line.message.text() == "No longer marked reviewed: slice 7."


def test_no_slice_is_marked_while_the_pen_is_down(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((24, 12), (24, 16), between=lambda: at_work.key(Qt.Key.Key_R))
    assert at_work.viewer.dims.current_step[0] == 6
    assert not at_work.session.marks
    assert set(np.argwhere(at_work.session.labels.values)[:, 0]) == {6}
