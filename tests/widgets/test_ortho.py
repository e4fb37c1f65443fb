from __future__ import annotations

import gc
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_covseg.widgets.picture import camera

from .conftest import SHAPE, SPACING_MM, move_to, write_scan

LEFT, NONE, CTRL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def three(at_work: Any) -> Any:
    at_work.key(Qt.Key.Key_Y)
    at_work.live(0.5)
    return at_work


def panes(driver: Any) -> list[Any]:
    return list(driver.desk.furniture.ortho.panes)


def place(pane: Any, down_mm: float, right_mm: float) -> QPoint:
    """Where on a pane's canvas a place is, by vispy's own transform."""
    view = pane.qt_viewer.canvas.view
    x, y, *_ = view.camera.transform.map([right_mm, down_mm, 0, 1])
    return QPoint(round(x + view.pos[0]), round(y + view.pos[1]))


def test_the_views_share_every_voxel_and_show_the_patient_the_right_way_round(three: Any) -> None:
    coronal, sagittal = panes(three)
    layers = three.desk.link.layers
    for pane in (coronal, sagittal):
        assert np.shares_memory(pane.layers.scan.data, three.bench.current.scan.hu)
        assert pane.layers.lesions.data is layers.lesions.data
        assert pane.layers.outlines.data is layers.lesions.data
        assert pane.qt_viewer.isVisible()
    letters = [{place: label.text() for place, label in pane.letters.labels.items()} for pane in (coronal, sagittal)]
    assert letters[0] == {"left": "R", "right": "L", "top": "S", "bottom": "I"}
    assert letters[1] == {"left": "A", "right": "P", "top": "S", "bottom": "I"}


@pytest.mark.parametrize("mode", ["paint", "erase"])
def test_the_views_leave_the_brush_in_hand(at_work: Any, mode: str) -> None:
    at_work.lesions.mode = mode
    for _ in range(3):  # open, put away, open again
        at_work.key(Qt.Key.Key_Y)
        at_work.live(0.3)
        assert str(at_work.lesions.mode) == mode
    assert [str(pane.layers.lesions.mode) for pane in panes(at_work)] == [mode, mode]
    assert at_work.viewer.layers.selection.active is at_work.lesions


def test_letters_are_not_cut(three: Any) -> None:
    furniture = three.desk.furniture
    for letters in (furniture.letters, *(pane.letters for pane in panes(three))):
        for label in letters.labels.values():
            assert label.isVisible()
            assert label.width() > label.fontMetrics().horizontalAdvance(label.text())
            assert label.height() >= label.fontMetrics().height()


def test_the_picture_fills_its_place_again_when_the_views_are_gone(at_work: Any) -> None:
    zoom = camera(at_work.viewer).zoom
    at_work.key(Qt.Key.Key_Y)
    at_work.live(0.4)
    assert camera(at_work.viewer).zoom < zoom
    at_work.key(Qt.Key.Key_Y)
    at_work.live(0.4)
    assert camera(at_work.viewer).zoom == pytest.approx(zoom, rel=0.02)


def is_whole(model: Any, native: Any) -> bool:
    """Whether the slice fits into its canvas, and fills it at least nine tenths one way."""
    sizes_mm = np.array(SHAPE) * SPACING_MM
    down, right = (sizes_mm[axis] * camera(model).zoom for axis in model.dims.displayed)
    share = max(down / native.height(), right / native.width())
    return bool(0.9 <= share <= 1.001)


def test_the_slices_fit_again_when_the_window_has_another_size(three: Any) -> None:
    pictures = [(three.viewer, three.canvas), *((pane.model, pane.pane.native) for pane in panes(three))]
    for size in ((1000, 640), (1280, 800)):
        three.viewer.window.resize(*size)
        three.live(0.3)
        assert [is_whole(*picture) for picture in pictures] == [True] * 3


def test_what_the_reader_zoomed_into_stays_so(three: Any) -> None:
    camera(three.viewer).zoom *= 2
    zoomed = camera(three.viewer).zoom
    three.viewer.window.resize(1000, 640)
    three.live(0.3)
    assert camera(three.viewer).zoom == zoomed
    assert is_whole(panes(three)[0].model, panes(three)[0].pane.native)


def test_a_millimetre_is_as_long_down_as_across(three: Any) -> None:
    for pane in panes(three):
        origin, down, right = place(pane, 0, 0), place(pane, 30, 0), place(pane, 0, 30)
        assert abs((down.y() - origin.y()) - (right.x() - origin.x())) <= 1
        assert down.y() - origin.y() > 30


def test_all_three_point_at_one_voxel_whoever_is_scrolled(three: Any) -> None:
    coronal, sagittal = panes(three)
    models = (three.viewer, coronal.model, sagittal.model)
    three.viewer.dims.set_current_step(0, 3)
    three.wheel(-2, canvas=coronal.pane.native)
    three.wheel(-1, canvas=sagittal.pane.native)
    steps = [tuple(model.dims.current_step) for model in models]
    assert len(set(steps)) == 1
    assert steps[0][0] == 3
    assert coronal.layers.scan._slice.image.raw.shape == (12, 40)
    np.testing.assert_array_equal(coronal.layers.scan._slice.image.raw, three.bench.current.scan.hu[:, steps[0][1], :])


def test_the_cross_hair_is_where_the_voxel_is_drawn_in_every_view(three: Any) -> None:
    three.viewer.dims.current_step = (4, 10, 30)
    three.live(0.2)
    for pane in panes(three):
        vertical, horizontal = pane.model.dims.displayed
        step = pane.model.dims.current_step
        at = place(pane, step[vertical] * SPACING_MM[vertical], step[horizontal] * SPACING_MM[horizontal])
        assert abs(pane.cross_hair.down.x() - at.x()) <= 1
        assert abs(pane.cross_hair.across.y() - at.y()) <= 1
        assert pane.cross_hair.down.isVisible()
    main = three.desk.furniture.ortho.cross_hair
    at = three.pixel(10, 30)
    assert abs(main.down.x() - at.x()) <= 1
    assert abs(main.across.y() - at.y()) <= 1
    camera(three.viewer).zoom *= 1.5
    three.live(0.2)
    assert abs(main.across.y() - three.pixel(10, 30).y()) <= 1


def test_a_click_points_there_and_a_drag_does_not(three: Any) -> None:
    coronal, _ = panes(three)
    QTest.mouseClick(coronal.pane.native, LEFT, NONE, place(coronal, 9 * 3.0, 33 * 1.5))
    three.live(0.2)
    assert three.viewer.dims.current_step[0] == 9
    assert three.viewer.dims.current_step[2] == 33
    before = tuple(three.viewer.dims.current_step)
    start = place(coronal, 9, 9)
    QTest.mousePress(coronal.pane.native, LEFT, NONE, start)
    for far in (10, 20, 30):
        move_to(coronal.pane.native, start + QPoint(far, 0), LEFT)
        three.live(0.03)
    QTest.mouseRelease(coronal.pane.native, LEFT, NONE, start + QPoint(30, 0))
    three.live(0.1)
    assert tuple(three.viewer.dims.current_step) == before


@pytest.mark.parametrize("number", [0, 1])
def test_a_stroke_in_any_view_is_one_correction_seen_in_all_and_undone_in_all(three: Any, number: int) -> None:
    pane = panes(three)[number]
    three.viewer.dims.current_step = (6, 20, 20)
    three.key(Qt.Key.Key_S)
    assert str(pane.layers.lesions.mode) == "paint"
    assert pane.layers.lesions.selected_label == 2
    native = pane.pane.native
    start, end = place(pane, 9, 15), place(pane, 24, 45)
    move_to(native, start)
    QTest.mousePress(native, LEFT, NONE, start)
    for share in np.linspace(0, 1, 6)[1:]:
        move_to(native, start + (end - start) * share, LEFT)
        three.live(0.03)
    QTest.mouseRelease(native, LEFT, NONE, end)
    three.until(lambda: three.session.undo_title)
    painted = three.session.labels.values
    plane = painted[:, 20, :] if number == 0 else painted[:, :, 20]
    assert (plane == 2).sum() > 10
    assert (painted == 2).sum() == (plane == 2).sum()
    assert three.session.undo_title.startswith("brush on slices ")
    np.testing.assert_array_equal(painted, three.lesions.data)
    three.live(0.3)
    assert np.asarray(three.lesions._slice.image.raw).any()
    QTest.keyClick(native, Qt.Key.Key_Z, CTRL)
    three.live(0.3)
    assert not three.session.labels.values.any()
    assert not np.asarray(pane.layers.outlines._slice.image.raw).any()


def test_window_and_hiding_are_the_same_in_all(three: Any) -> None:
    coronal, _ = panes(three)
    three.key(Qt.Key.Key_W)
    assert tuple(coronal.layers.scan.contrast_limits) == (-160, 240)
    QTest.keyPress(coronal.pane.native, Qt.Key.Key_H)
    assert not three.lesions.visible
    assert not coronal.layers.lesions.visible
    assert not coronal.layers.outlines.visible
    QTest.keyRelease(coronal.pane.native, Qt.Key.Key_H)
    assert three.lesions.visible
    assert coronal.layers.outlines.visible


def test_the_views_go_away_and_come_back_and_follow_the_next_scan(three: Any, tmp_path: Path) -> None:
    coronal, _ = panes(three)
    three.key(Qt.Key.Key_Y)
    assert not coronal.qt_viewer.isVisible()
    assert not three.desk.furniture.ortho.cross_hair.down.isVisible()
    three.key(Qt.Key.Key_Y)
    assert panes(three)[0] is coronal
    three.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    assert coronal.layers.scan.name == "other_ct"
    assert len(coronal.model.layers) == 3
    assert coronal.layers.lesions.data is three.lesions.data
    three.lesions.data[2, 2:5, 2:5] = 1
    three.desk.link.settle()
    assert three.session.undo_title


def test_views_that_are_put_away_let_go_of_a_scan_that_left(three: Any, tmp_path: Path) -> None:
    coronal, _ = panes(three)
    three.key(Qt.Key.Key_Y)
    three.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    assert len(coronal.model.layers) == 0
    three.key(Qt.Key.Key_Y)
    assert coronal.layers.scan.name == "other_ct"


def test_opening_the_views_stays_on_the_slice(at_work: Any) -> None:
    at_work.viewer.dims.set_current_step(0, 9)
    at_work.key(Qt.Key.Key_Y)
    at_work.live(0.3)
    assert at_work.viewer.dims.current_step[0] == 9
    assert [pane.model.dims.current_step[0] for pane in panes(at_work)] == [9, 9]


def test_without_a_scan_the_key_does_nothing(window: Any) -> None:
    driver = window()
    driver.key(Qt.Key.Key_Y)
    assert panes(driver) == []


def test_opening_the_views_takes_less_than_two_seconds(at_work: Any) -> None:
    started = time.process_time()  # of this process: others may be at work on this machine too
    at_work.key(Qt.Key.Key_Y)
    assert time.process_time() - started < 2
    assert panes(at_work)[0].qt_viewer.isVisible()


def test_opening_the_views_copies_no_voxels(at_work: Any) -> None:
    at_work.desk.link.layers.scan.data = big = np.zeros((300, 512, 512), dtype=np.int16)
    gc.collect()
    tracemalloc.start()
    at_work.desk.furniture.ortho.toggle()
    at_work.live(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < big.nbytes / 2
