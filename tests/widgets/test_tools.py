from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_covseg.jobs import Progress
from napari_covseg.review import (
    PRESETS,
    Growth,
    HuRange,
    Scene,
    accept,
    copy_slice,
    fill,
    fill_holes,
    grow,
    interpolate,
    keep_largest,
    relabel,
    relabel_by_hu,
    remove_islands,
    smooth,
)
from napari_covseg.review.hu_range import smoothed_hu
from napari_covseg.review.scene import NO_LUNGS
from napari_covseg.widgets.handles import HANDLES
from napari_covseg.widgets.keys import KEYS

from .conftest import move_to

SLICE = 6
PLACE = (SLICE, 24, 12)
SHIFT, NONE = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.NoModifier
LEFT = Qt.MouseButton.LeftButton
QT_KEYS = {"Up": Qt.Key.Key_Up, "Down": Qt.Key.Key_Down, "Delete": Qt.Key.Key_Delete}
RANGE = HuRange(-700, -300)

EXPECTED = {
    "Fill": lambda scene: fill(scene, PLACE, 2),
    "Grow": lambda scene: grow(scene, PLACE, Growth(2, PRESETS["consolidation"], 30.0)),
    "Interpolate": lambda scene: interpolate(scene, SLICE, 2, PLACE),
    "Relabel": lambda scene: relabel(scene, PLACE, 2),
    "Density": relabel_by_hu,
    "Delete": lambda scene: relabel(scene, PLACE, 0),
    "Accept": lambda scene: accept(scene, PLACE, lesions_of_another(scene.labels.shape), ANOTHER),
    "Islands": lambda scene: remove_islands(scene, 50.0),
    "Holes": fill_holes,
    "Smooth": lambda scene: smooth(scene, 1.5),
    "Largest": lambda scene: keep_largest(scene, 2),
    "Copy ↑": lambda scene: copy_slice(scene, SLICE, -1),
    "Copy ↓": lambda scene: copy_slice(scene, SLICE, 1),
}
ANOTHER = "Another network"
WHOLE_SCAN_ALWAYS = {"Interpolate", "Copy ↑", "Copy ↓"}


def lesions_of_a_proposal(shape: tuple[int, ...]) -> Any:
    """Ground glass with a hole and a spur, a speck, and consolidation on two slices with a gap between."""
    labels = np.zeros(shape, np.uint8)
    labels[4:9, 18:31, 6:19] = 1
    labels[SLICE, 20, 8] = 0
    labels[SLICE, 31, 12] = 1
    labels[SLICE, 4, 4] = 1
    labels[SLICE, 10, 36] = 2
    labels[[2, 5], 36:44, 20:30] = 2
    labels[SLICE, 36:44, 32:34] = 2
    return labels


def lesions_of_another(shape: tuple[int, ...]) -> Any:
    labels = np.zeros(shape, np.uint8)
    labels[5:8, 16:27, 3:15] = 2
    labels[5:8, 16:27, 15] = 3
    labels[:, 40:44, 5:9] = 1
    return labels


@pytest.fixture
def bench(at_work: Any) -> Any:
    values = lesions_of_a_proposal(at_work.session.labels.values.shape)
    at_work.session.absorb(values, "network", "a network")
    at_work.viewer.dims.set_current_step(0, SLICE)
    at_work.live(0.1)
    at_work.tabs.show_panel("Review")
    for index, labels in enumerate(lesions_of_another(values.shape)):
        at_work.bench.current.proposals.write(ANOTHER, index, labels)
    at_work.desk.runs_changed.emit()
    QTest.keyClick(tools_of(at_work).other, Qt.Key.Key_Down)
    return at_work


def tools_of(driver: Any) -> Any:
    return driver.tabs.panels["Review"].tools


def hover(driver: Any, row: float, column: float, canvas: Any = None) -> None:
    """Move the mouse there, with no button pressed."""
    canvas, point = canvas or driver.canvas, driver.pixel(row, column)
    place = QPointF(point)
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        place,
        QPointF(canvas.mapToGlobal(point)),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.NoButton,
        NONE,
    )
    QApplication.sendEvent(canvas, event)
    driver.live(0.02)


def press(driver: Any, key: str) -> None:
    """Press a key as napari writes it, and wait until what it started is done."""
    *modifier, name = key.split("-")
    driver.key(QT_KEYS.get(name) or getattr(Qt.Key, f"Key_{name}"), SHIFT if modifier else NONE)
    driver.until(lambda: not driver.bench.tool_runner.busy)
    driver.live()


def click(driver: Any, button: Any) -> None:
    QTest.mouseClick(button, LEFT)
    driver.live(0.02)


def expected_values(driver: Any, name: str, in_3d: bool) -> Any:
    """What the tool itself makes of the session, in the reader's class consolidation."""
    scene = Scene(driver.session.labels.values.copy(), driver.bench.current.scan)
    reach = scene if in_3d or name in WHOLE_SCAN_ALWAYS else scene.on_slice(SLICE)
    values = scene.labels.copy()
    correction = EXPECTED[name](reach)
    assert correction is not None, name
    correction.applied_to(values)
    return values


def prepared(driver: Any, name: str) -> None:
    """Interpolation wants the chosen class under the cursor, and a gap."""
    if name == "Interpolate":
        values = driver.session.labels.values.copy()
        values[values == 1] = 2
        values[5, 18:31, 6:19] = 0
        driver.session.absorb(values, "brush", "make a gap")


@pytest.mark.parametrize("in_3d", [True, False])
def test_every_tool_by_key_does_what_its_function_does_and_is_undone_in_one_step(bench: Any, in_3d: bool) -> None:
    bench.key(Qt.Key.Key_S)
    assert bench.desk.tools.settings.in_3d
    for handle in HANDLES:
        hover(bench, *PLACE[1:])
        if handle.name == "Grow":
            check_grow(bench, in_3d)
            continue
        prepared(bench, handle.name)
        if bench.desk.tools.settings.in_3d is not in_3d:
            press(bench, "Shift-D")
        before, expected = bench.session.labels.values.copy(), expected_values(bench, handle.name, in_3d)
        press(bench, handle.key)
        assert np.array_equal(bench.session.labels.values, expected), handle.name
        assert np.array_equal(bench.lesions.data, expected)
        title = bench.session.undo_title
        assert bench.tabs.state_line.message.text().lower().startswith(title.lower())
        assert bench.tabs.panels["Review"].history.undo.toolTip().startswith(f"Undo: {title}")
        bench.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert np.array_equal(bench.session.labels.values, before), handle.name
        while bench.session.undo_title != "a network":
            bench.session.undo()


def check_grow(bench: Any, in_3d: bool) -> None:
    """On an empty map, the opacity of the scan is grown, within the range in the boxes."""
    proposal = bench.session.labels.values.copy()
    bench.session.absorb(np.zeros_like(proposal), "eraser", "empty the map")
    rows = tools_of(bench)
    for box, hu in ((rows.low, -700), (rows.high, -300)):
        box.setFocus()
        box.selectAll()
        QTest.keyClicks(box, str(hu))
        QTest.keyClick(box, Qt.Key.Key_Return)
    assert bench.desk.tools.settings.range_of(2) == RANGE
    assert bench.desk.tools.settings.range_of(1) == PRESETS["ggo"]
    if bench.desk.tools.settings.in_3d is not in_3d:
        press(bench, "Shift-D")
    hover(bench, *PLACE[1:])
    press(bench, "G")
    found = bench.session.labels.values
    assert found[PLACE] == 2
    assert 100 < found[SLICE].sum() / 2 < 250
    assert bool(found[SLICE - 2].any()) is in_3d
    hu = smoothed_hu(bench.bench.current.scan, tuple(slice(0, n) for n in found.shape))
    assert RANGE.holds(hu[found > 0]).all()
    for _ in range(2):
        bench.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(bench.session.labels.values, proposal)


def test_every_button_does_the_same_where_the_picture_is_clicked(bench: Any) -> None:
    bench.key(Qt.Key.Key_S)
    rows = tools_of(bench)
    click(bench, rows.flat)
    for handle in HANDLES:
        if handle.name in ("Grow", "Interpolate"):
            continue  # by key above
        mode = str(bench.lesions.mode)
        hover(bench, *PLACE[1:])
        before, expected = bench.session.labels.values.copy(), expected_values(bench, handle.name, False)
        button = rows.buttons[handle.name]
        click(bench, button)
        if handle.at == "place":
            assert button.isChecked()
            assert rows.waits.text().startswith(handle.name)
            QTest.mouseClick(bench.canvas, LEFT, NONE, bench.pixel(*PLACE[1:]))
            bench.live(0.1)
        assert np.array_equal(bench.session.labels.values, expected), handle.name
        assert not button.isChecked()
        assert str(bench.lesions.mode) == mode
        click(bench, bench.tabs.panels["Review"].history.undo)
        assert np.array_equal(bench.session.labels.values, before)


@pytest.mark.parametrize("by", ["key", "button"])
def test_a_tool_that_works_long_can_be_stopped(bench: Any, by: str) -> None:
    before = bench.session.labels.values.copy()

    def long(scene: Any) -> Any:
        for number in range(100_000):
            yield Progress(number, 100_000, "thinking")
            time.sleep(0.002)
        return relabel(scene, PLACE, 2)

    stop = bench.tabs.state_line.stop
    assert not stop.isVisible()
    run = bench.bench.tools.apply_aside(long, "Thinking")
    bench.until(stop.isVisible)
    click(bench, stop) if by == "button" else bench.key(Qt.Key.Key_Escape)
    bench.until(lambda: run.over)
    bench.until(lambda: not stop.isVisible())
    assert "nothing was changed" in bench.tabs.state_line.message.text()
    assert np.array_equal(bench.session.labels.values, before)


def test_a_tool_that_waits_is_put_down_by_escape_or_its_own_button(bench: Any) -> None:
    rows, before = tools_of(bench), bench.session.labels.values.copy()
    bench.key(Qt.Key.Key_A)
    for number, put_down in enumerate(
        (
            lambda: bench.key(Qt.Key.Key_Escape),
            lambda: click(bench, rows.buttons["Delete"]),
            lambda: QTest.keyClick(rows.buttons["Delete"], Qt.Key.Key_Escape),
        )
    ):
        click(bench, rows.buttons["Delete"])
        assert bench.desk.tools.waiting is not None
        assert bench.lesions.mode == "pan_zoom"
        put_down()
        assert bench.desk.tools.waiting is None, number
        assert bench.lesions.mode == "paint"
        assert not rows.buttons["Delete"].isChecked()
    bench.key(Qt.Key.Key_Z)
    QTest.mouseClick(bench.canvas, LEFT, NONE, bench.pixel(*PLACE[1:]))
    bench.live(0.1)
    assert np.array_equal(bench.session.labels.values, before)


def test_the_hu_brush_and_the_range_eraser_reach_only_the_range(at_work: Any) -> None:
    at_work.tabs.show_panel("Review")
    at_work.key(Qt.Key.Key_A)
    at_work.desk.tools.set_range(-700, -300)
    at_work.key(Qt.Key.Key_T)
    assert tools_of(at_work).by_hu.isChecked()
    at_work.stroke((24, 6), (24, 30))
    found = at_work.session.labels.values
    hu = smoothed_hu(at_work.bench.current.scan, tuple(slice(0, n) for n in found.shape))
    assert at_work.session.undo_title == "HU brush on slice 7"
    assert found[PLACE] == 1
    assert RANGE.holds(hu[found > 0]).all()
    assert set(np.argwhere(found)[:, 0]) == {SLICE}
    bounded = found.copy()
    at_work.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not at_work.session.labels.values.any()

    click(at_work, tools_of(at_work).by_hu)
    at_work.stroke((24, 6), (24, 30))
    plain = at_work.session.labels.values.copy()
    assert at_work.session.undo_title == "brush on slice 7"
    assert plain[SLICE, 24, 28] == 1
    assert np.array_equal(bounded > 0, (plain > 0) & RANGE.holds(hu))

    press(at_work, "Shift-E")
    assert at_work.lesions.mode == "erase"
    at_work.stroke((24, 6), (24, 30))
    assert at_work.session.undo_title == "range eraser on slice 7"
    assert np.array_equal(at_work.session.labels.values > 0, (plain > 0) & ~RANGE.holds(hu))


def test_an_outline_that_is_filled_reaches_only_the_range(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_A)
    at_work.desk.tools.set_range(-700, -300)
    square = np.array([(SLICE, 16, 4), (SLICE, 16, 20), (SLICE, 32, 20), (SLICE, 32, 4)])
    at_work.lesions.paint_polygon(square, 1)
    at_work.desk.link.settle()
    plain = at_work.session.labels.values.copy()
    assert plain[SLICE, 17, 5] == 1
    at_work.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    at_work.key(Qt.Key.Key_T)
    at_work.lesions.paint_polygon(square, 1)
    at_work.desk.link.settle()
    hu = smoothed_hu(at_work.bench.current.scan, tuple(slice(0, n) for n in plain.shape))
    assert np.array_equal(at_work.session.labels.values > 0, (plain > 0) & RANGE.holds(hu))
    assert at_work.session.undo_title == "HU brush on slice 7"


def test_a_stroke_that_the_range_keeps_from_every_voxel_says_so_and_one_that_paints_says_nothing(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_A)
    at_work.desk.tools.set_range(40, 150)
    at_work.key(Qt.Key.Key_T)
    at_work.stroke((24, 8), (24, 16))
    assert not at_work.session.labels.values.any()
    assert "Nothing under the brush lies in 40…150 HU" in at_work.tabs.state_line.message.text()
    at_work.desk.tools.set_range(-700, -300)
    at_work.stroke((24, 8), (24, 16))
    assert at_work.session.labels.values.any()
    assert not at_work.tabs.state_line.message.text()
    at_work.stroke((24, 8), (24, 16))  # over what is painted
    assert not at_work.tabs.state_line.message.text()


def test_the_brush_in_3_d_is_a_ball_and_the_lung_brush_stays_in_the_lungs(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_A)
    press(at_work, "Shift-T")
    at_work.stroke((24, 18), (24, 18))
    assert not at_work.session.labels.values.any()
    assert "Nobody has drawn the lungs here" in at_work.tabs.state_line.message.text()
    lung = np.zeros(at_work.lesions.data.shape[1:], bool)
    lung[:, :18] = True
    for index in range(len(at_work.lesions.data)):
        at_work.bench.current.lungs.write(index, lung)
    press(at_work, "Shift-B")
    at_work.stroke((24, 17), (24, 17))
    painted = np.argwhere(at_work.session.labels.values)
    assert at_work.session.undo_title == "lung brush on slices 6–8"
    assert painted[:, 2].max() == 17
    away_mm = np.linalg.norm((painted - (SLICE, 24, 17)) * (3.0, 1.5, 1.5), axis=1)
    assert 4 < away_mm.max() <= 5.25
    at_work.key(Qt.Key.Key_D)  # effusion lies outside the aerated lung
    at_work.stroke((24, 30), (24, 30))
    assert (at_work.session.labels.values[SLICE, 24, 28:33] == 3).all()
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((36, 30), (36, 30))
    assert not at_work.session.labels.values[SLICE, 36].any()


def test_a_refused_stroke_of_the_lung_brush_is_told_once_and_the_next_one_again(at_work: Any) -> None:
    complaints: list[str] = []
    at_work.bench.complained.connect(complaints.append)
    at_work.key(Qt.Key.Key_A)
    press(at_work, "Shift-T")
    at_work.stroke((20, 8), (30, 28))
    assert complaints == [NO_LUNGS]
    at_work.stroke((30, 8), (20, 28))
    assert complaints == [NO_LUNGS] * 2
    assert not at_work.session.labels.values.any()


@pytest.mark.parametrize("key", ["K", "G", "Shift-F"])
def test_in_the_3_d_display_a_tool_says_that_it_needs_a_slice(at_work: Any, key: str) -> None:
    at_work.session.absorb(lesions_of_a_proposal(at_work.lesions.data.shape), "network", "a network")
    before = at_work.session.labels.values.copy()
    complaints: list[str] = []
    at_work.bench.complained.connect(complaints.append)
    button = at_work.viewer.window._qt_viewer.viewerButtons.ndisplayButton
    QTest.mouseClick(button, LEFT)
    at_work.live(0.2)
    assert at_work.viewer.dims.ndisplay == 3
    move_to(at_work.canvas, at_work.canvas.rect().center())
    at_work.live()
    press(at_work, key)
    assert len(complaints) == 1
    assert "no place in the 3-D display" in complaints[0]
    assert np.array_equal(at_work.session.labels.values, before)
    QTest.mouseClick(button, LEFT)
    at_work.live(0.2)
    move_to(at_work.canvas, at_work.pixel(24, 12))
    press(at_work, key)
    assert all("3-D" not in each for each in complaints[1:])


def test_a_bounded_brush_in_the_coronal_view_paints_that_slice(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_Y)
    at_work.live(0.5)
    at_work.key(Qt.Key.Key_A)
    at_work.desk.tools.set_range(-700, -300)
    at_work.desk.tools.change(by_hu=True)
    at_work.viewer.dims.current_step = PLACE
    pane = at_work.desk.furniture.ortho.panes[0]
    native, view = pane.pane.native, pane.qt_viewer.canvas.view
    x, y, *_ = view.camera.transform.map([PLACE[2] * 1.5, PLACE[0] * 3.0, 0, 1])
    point = QPoint(round(x + view.pos[0]), round(y + view.pos[1]))
    move_to(native, point)
    QTest.mousePress(native, LEFT, NONE, point)
    QTest.mouseRelease(native, LEFT, NONE, point)
    at_work.live(0.5)
    painted = np.argwhere(at_work.session.labels.values)
    assert set(painted[:, 1]) == {24}
    assert len(set(painted[:, 0])) > 1
    assert at_work.session.undo_title.startswith("HU brush on slices")


def test_what_a_tool_cannot_do_is_told_in_the_state_line_and_nothing_changes(bench: Any) -> None:
    before = bench.session.labels.values.copy()
    bench.key(Qt.Key.Key_A)
    press(bench, "Shift-D")
    bench.desk.tools.set_range(-700, -300)
    hover(bench, 44, 2)
    for key, words in (("G", "It is −8"), ("K", "There is no lesion"), ("Shift-F", "not enclosed")):
        press(bench, key)
        assert words in bench.tabs.state_line.message.text()
    tools_of(bench).low.setValue(-200)
    assert "A range goes up" in bench.tabs.state_line.message.text()
    assert tools_of(bench).low.value() == -700
    bench.session.mark_reviewed(SLICE)
    hover(bench, *PLACE[1:])
    press(bench, "Delete")
    assert bench.tabs.state_line.message.text().endswith("No longer marked reviewed: slice 7.")
    bench.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(bench.session.labels.values, before)


def test_with_the_cursor_off_the_picture_a_tool_works_at_the_cross_hair(bench: Any) -> None:
    hover(bench, 44, 2)
    QApplication.sendEvent(bench.canvas, QEvent(QEvent.Type.Leave))
    bench.viewer.dims.current_step = PLACE
    press(bench, "Delete")
    assert bench.session.undo_title.startswith("delete a lesion of ground-glass opacity on slices 5–9")


def test_another_network_is_outlined_in_white_until_it_is_put_away(bench: Any) -> None:
    rows, other = tools_of(bench), bench.desk.tools.other
    assert rows.other.currentText() == ANOTHER
    assert np.array_equal(other.layer.data, lesions_of_another(bench.lesions.data.shape))
    assert bench.viewer.layers.selection.active is bench.lesions
    assert bench.viewer.layers.index(other.layer) < bench.viewer.layers.index(bench.lesions)
    assert other.layer.contour == 1
    QTest.keyClick(rows.other, Qt.Key.Key_Up)
    assert other.layer is None
    assert [layer.name for layer in bench.viewer.layers] == ["case_ct", "lesions", "outlines"]
    hover(bench, *PLACE[1:])
    press(bench, "Shift-A")
    assert "Choose the other network" in bench.tabs.state_line.message.text()


def test_napari_s_bucket_pours_with_our_fill(bench: Any) -> None:
    bench.key(Qt.Key.Key_S)
    bench.key(Qt.Key.Key_F)
    expected = expected_values(bench, "Fill", True)
    QTest.mouseClick(bench.canvas, LEFT, NONE, bench.pixel(*PLACE[1:]))
    bench.until(lambda: bench.session.undo_title.startswith("fill"))
    assert np.array_equal(bench.session.labels.values, expected)
    QTest.mouseClick(bench.canvas, LEFT, NONE, bench.pixel(44, 2))
    bench.until(lambda: not bench.bench.tool_runner.busy)
    assert np.array_equal(bench.session.labels.values, expected)
    assert "not enclosed" in bench.tabs.state_line.message.text()


def test_a_tool_does_not_wait_for_a_network(bench: Any, quick_network: Any, trained: Any) -> None:
    from napari_covseg.workbench import SegmentRequest

    quick_network(0.4)
    run = bench.bench.segment(SegmentRequest(trained, "scan", centre=11))
    hover(bench, *PLACE[1:])
    press(bench, "Delete")
    assert not run.over
    assert bench.session.labels.values[4, 24, 12] == 0
    run.cancel()
    bench.until(lambda: run.over)


def test_buttons_say_why_they_cannot_be_pressed(window: Any, scan_path: Any) -> None:
    driver = window()
    driver.tabs.show_panel("Review")
    rows = tools_of(driver)
    buttons = [*rows.buttons.values(), rows.by_hu, rows.in_lungs, rows.with_a_ball, rows.erase, rows.flat, rows.deep]
    for each in buttons:
        assert not each.isEnabled()
        assert each.toolTip().startswith("Open a scan first")
    for handle in HANDLES:
        press(driver, handle.key)
    driver.open(scan_path)
    assert all(each.isEnabled() for each in buttons)
    driver.session.mark_reviewed(SLICE)
    driver.session.sign()
    driver.live()
    for each in buttons:
        assert not each.isEnabled()
        assert "signed" in each.toolTip()
    hover(driver, *PLACE[1:])
    press(driver, "G")
    assert "signed" in driver.tabs.state_line.message.text()
    lines = driver.desk.furniture.cheat_sheet.lines
    assert {handle.title for handle in HANDLES} <= {title for _, title in lines}


def test_interpolate_is_called_so_on_its_button_in_its_tooltip_and_among_the_keys(at_work: Any) -> None:
    button = at_work.tabs.panels["Review"].tools.buttons["Interpolate"]
    told = dict(at_work.desk.furniture.cheat_sheet.lines)["I"]
    assert all(words.startswith("Interpolate") for words in (button.text(), button.property("what"), told))


def test_no_tool_takes_a_key_of_napari_s_own() -> None:
    of_labels = [name for name in default_shortcuts if "labels" in name or "brush" in name or "label" in name]
    of_window = [name for name in default_shortcuts if "dims" in name or "layer" in name or "toggle" in name]
    taken = {str(key) for name in of_labels + of_window for key in default_shortcuts[name]}
    ours = {key.key.replace("-", "+") for key in KEYS if "Ctrl" not in key.key}
    assert {"E", "P", "Shift+V"} <= taken
    assert not ours & taken
    assert len(ours) == len([key for key in KEYS if "Ctrl" not in key.key])
