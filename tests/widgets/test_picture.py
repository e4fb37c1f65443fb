from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_covseg.volume.presets import LUNG
from napari_covseg.widgets.outline_width import contour_voxels
from napari_covseg.widgets.pointer import under_cursor
from napari_covseg.widgets.windows import LIMITS_HU, NARROWEST_HU, dragged, level_and_width

from .conftest import move_to

CTRL = Qt.KeyboardModifier.ControlModifier


def limits(driver: Any) -> tuple[float, float]:
    return tuple(driver.desk.link.layers.scan.contrast_limits)


def test_hounsfield_units_class_and_place_are_told_under_the_cursor(at_work: Any) -> None:
    at_work.lesions.data[6, 24, 12] = 1
    hu = round(float(at_work.bench.current.scan.hu[6, 24, 12]))
    place = (6 * 3.0, 24 * 1.5, 12 * 1.5)
    said = under_cursor(at_work.bench.current, at_work.lesions, place)
    assert said == f"−{-hu} HU   Ground-glass opacity   L 18  P 36  S 15 mm"
    assert under_cursor(at_work.bench.current, at_work.lesions, (6 * 3.0, 24 * 1.5, 40 * 1.5)) == ""
    assert under_cursor(at_work.bench.current, at_work.lesions, (-1.6, 0, 0)) == ""


@pytest.mark.parametrize("selected", ["lesions", "outlines", "case_ct"])
def test_the_status_line_says_so_whatever_layer_is_selected(at_work: Any, selected: str) -> None:
    at_work.viewer.layers.selection.active = at_work.viewer.layers[selected]
    for row in (30, 24):  # Qt says nothing of a mouse that is there already
        move_to(at_work.canvas, at_work.pixel(row, 12))
        at_work.live(0.1)
    hu = round(float(at_work.bench.current.scan.hu[6, 24, 12]))
    line = at_work.viewer.window._qt_window.statusBar()._coordinates

    def told() -> str:
        at_work.viewer.mouse_over_canvas = True  # the screen's own pointer leaves it whenever another window comes
        at_work.viewer.update_status_from_cursor()  # as napari's thread does while the window is in front
        return str(line.text())

    at_work.until(lambda: told() == f"−{-hu} HU   L 18  P 36  S 15 mm")


def test_a_drag_to_the_right_widens_and_a_drag_up_brightens() -> None:
    assert level_and_width(dragged(LUNG.limits_hu, 150, 0)) == pytest.approx((-600, 3000))
    assert level_and_width(dragged(LUNG.limits_hu, 0, 30)) == pytest.approx((-750, 1500))
    assert level_and_width(dragged(LUNG.limits_hu, 0, -30)) == pytest.approx((-450, 1500))
    narrow = dragged((0, 20), 0, 30)
    assert abs(level_and_width(narrow)[0] - 10) < 5
    assert level_and_width(dragged(LUNG.limits_hu, -9999, 0))[1] == NARROWEST_HU
    assert dragged(LUNG.limits_hu, 9999, 0) == pytest.approx(LIMITS_HU)
    assert dragged(LUNG.limits_hu, 0, 9999)[0] == LIMITS_HU[0]


def test_a_right_drag_sets_the_window_and_the_corner_says_which(at_work: Any) -> None:
    note = at_work.desk.furniture.window_note.label
    assert note.text() == "Lung   L −600  W 1500"
    at_work.right_drag(40, 20)
    level, width = level_and_width(limits(at_work))
    assert width == pytest.approx(1500 * 2 ** (40 / 150), abs=2)
    assert level < -600
    assert note.text() == f"L −{-round(level)}  W {round(width)}"
    at_work.key(Qt.Key.Key_W)
    assert note.text() == "Lung   L −600  W 1500"


def test_a_right_drag_paints_nothing_and_zooms_nothing(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_A)
    zoom = at_work.viewer.scene.camera.zoom
    at_work.right_drag(50, 30)
    assert not at_work.lesions.data.any()
    assert at_work.viewer.scene.camera.zoom == zoom


def test_a_right_click_still_begins_an_outline(at_work: Any) -> None:
    from napari_covseg.widgets.layers import is_mid_stroke

    at_work.key(Qt.Key.Key_A)
    at_work.viewer.window._qt_viewer.canvas.native.setFocus()
    point = at_work.pixel(24, 12)
    move_to(at_work.canvas, point)
    at_work.live(0.05)
    QTest.mouseClick(at_work.canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, point)
    at_work.live(0.1)
    assert is_mid_stroke(at_work.lesions)
    before = limits(at_work)
    at_work.right_drag(40, 0)  # the button belongs to the outline while it is open
    assert limits(at_work) == before


def test_the_wheel_scrolls_down_the_patient_and_with_ctrl_it_zooms(at_work: Any) -> None:
    dims = at_work.viewer.dims
    assert dims.current_step[0] == 6
    at_work.wheel(-1)
    assert dims.current_step[0] == 7
    at_work.wheel(2)
    assert dims.current_step[0] == 5
    at_work.wheel(-0.5)
    assert dims.current_step[0] == 5
    at_work.wheel(-0.5)  # a touch pad sends fractions of a notch
    assert dims.current_step[0] == 6
    at_work.wheel(99)
    assert dims.current_step[0] == 0
    zoom = at_work.viewer.scene.camera.zoom
    at_work.wheel(1, CTRL)
    assert at_work.viewer.scene.camera.zoom == pytest.approx(zoom * 1.15)
    assert dims.current_step[0] == 0


def test_zooming_leaves_the_place_under_the_cursor_where_it_is(at_work: Any) -> None:
    point = at_work.pixel(10, 30)
    move_to(at_work.canvas, point)
    at_work.live(0.1)
    at_work.wheel(3, CTRL)
    after = at_work.pixel(10, 30)
    assert abs(after.x() - point.x()) <= 3
    assert abs(after.y() - point.y()) <= 3


def test_the_mouse_is_naparis_own_while_no_scan_is_open(window: Any) -> None:
    driver = window()
    driver.viewer.add_image(np.zeros((3, 20, 20)))
    driver.live(0.1)
    zoom = driver.viewer.scene.camera.zoom
    driver.wheel(1)
    assert driver.viewer.scene.camera.zoom != zoom


def test_the_legend_names_what_is_in_the_scan(at_work: Any) -> None:
    legend = at_work.desk.furniture.legend.label
    assert not legend.isVisible()
    at_work.lesions.paint((6, 20, 20), 2)
    at_work.until(lambda: "Consolidation" in legend.text())
    assert "Ground-glass" not in legend.text()
    assert legend.isVisible()
    at_work.bench.current.lungs.write(6, np.ones((48, 40), dtype=bool))
    at_work.bench.lungs_found.emit(at_work.bench.current, 6)
    assert "Lung" not in legend.text()
    at_work.key(Qt.Key.Key_U)
    assert "Lung" in legend.text()
    at_work.key(Qt.Key.Key_U)
    assert "Lung" not in legend.text()
    QTest.keyPress(at_work.canvas, Qt.Key.Key_H)
    assert not legend.isVisible()
    QTest.keyRelease(at_work.canvas, Qt.Key.Key_H)
    assert legend.isVisible()


def test_the_list_of_keys_comes_on_a_question_mark_and_names_every_key(at_work: Any) -> None:
    from napari_covseg.widgets.keys import KEYS

    sheet = at_work.desk.furniture.cheat_sheet
    assert not sheet.isVisible()
    QApplication.setActiveWindow(at_work.viewer.window._qt_window)  # no other window gets keys
    QTest.keyClick(at_work.canvas, Qt.Key.Key_Question, Qt.KeyboardModifier.ShiftModifier)
    at_work.live(0.1)
    assert sheet.isVisible()
    told = {title for _, title in sheet.lines}
    assert {key.title for key in KEYS} <= told
    window = at_work.viewer.window._qt_window
    assert window.rect().contains(sheet.geometry())
    QTest.keyClick(at_work.canvas, Qt.Key.Key_Escape)
    at_work.live(0.1)
    assert not sheet.isVisible()


@pytest.mark.parametrize(("pixels_per_voxel", "voxels"), [(0.2, 6), (1.0, 2), (1.34, 1), (1.32, 2), (8.0, 1)])
def test_an_outline_is_about_two_pixels_wide(pixels_per_voxel: float, voxels: int) -> None:
    assert contour_voxels(pixels_per_voxel) == voxels


def test_outlines_keep_their_width_on_screen_when_zoomed_out(at_work: Any) -> None:
    outlines = at_work.desk.link.layers.outlines
    assert outlines.contour == 1
    at_work.viewer.scene.camera.zoom = 0.6
    at_work.until(lambda: outlines.contour == 2)


def test_napari_hints_at_the_list_of_keys(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_P)
    assert at_work.viewer.help == "? shows all keys"


def test_no_two_keys_are_the_same() -> None:
    from napari_covseg.widgets.keys import KEYS

    assert len({key.key for key in KEYS}) == len(KEYS)


def test_the_brush_leaves_nothing_on_the_picture_when_it_is_put_down_after_a_scan_was_opened_again(
    at_work: Any,
) -> None:
    def shown() -> Any:
        move_to(at_work.canvas, at_work.pixel(30, 30))
        at_work.live(0.2)
        return at_work.viewer.screenshot(canvas_only=True, flash=False)

    def take_up_and_put_down() -> None:
        at_work.viewer.mouse_over_canvas = True  # the screen's own pointer leaves it whenever another window comes
        at_work.key(Qt.Key.Key_A)
        move_to(at_work.canvas, at_work.pixel(22, 12))
        at_work.live(0.2)
        at_work.key(Qt.Key.Key_Z)

    def at_rest() -> Any:
        pictures = [shown()]

        def is_as_before() -> bool:
            pictures.append(shown())
            return np.array_equal(*pictures[-2:])

        at_work.until(is_as_before)
        return pictures[-1]

    take_up_and_put_down()
    before = at_rest()
    at_work.open(at_work.bench.current.path)
    take_up_and_put_down()
    at_work.until(lambda: np.array_equal(shown(), before))
