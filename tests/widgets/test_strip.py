from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_covseg.volume import LESIONS
from napari_covseg.widgets.strip import HEIGHT, UNCERTAIN
from napari_covseg.widgets.strip_marks import BARS_HEIGHT, BARS_TOP, TICKS_TOP, words_place
from napari_covseg.widgets.strip_picture import bars, heat, shown_slices, slice_at, span

RED, GREEN = (200, 0, 0), (0, 200, 0)
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.mark.parametrize(("width", "depth"), [(1280, 64), (1000, 1000), (640, 1000), (333, 7), (200, 1)])
def test_a_slice_is_found_where_it_is_drawn(width: int, depth: int) -> None:
    for index in {0, depth // 3, depth - 1}:
        start, end = span(index, width, depth)
        assert slice_at((start + end) / 2, width, depth) == index
    assert slice_at(-5, width, depth) == 0
    assert slice_at(width + 5, width, depth) == depth - 1


def test_bars_are_stacked_and_the_fullest_reaches_the_top() -> None:
    painted = bars([np.array([0.0, 2.0]), np.array([1.0, 2.0])], [RED, GREEN], (8, 4))
    red, green, none = (0, 0, 200, 255), (0, 200, 0, 255), (0, 0, 0, 0)
    assert [tuple(int(v) for v in pixel) for pixel in painted[:, 3]] == [green] * 4 + [red] * 4
    assert [tuple(int(v) for v in pixel) for pixel in painted[:, 0]] == [none] * 6 + [green] * 2


def test_the_smallest_lesion_is_seen_and_none_is_not() -> None:
    painted = bars([np.array([1000.0, 0.001, 0.0])], [RED], (40, 3))
    assert (painted[:, :, 3] > 0).sum(axis=0).tolist() == [40, 1, 0]
    assert not bars([np.zeros(3)], [RED], (40, 3))[:, :, 3].any()
    two = bars([np.array([9.0, 0.001]), np.zeros(2)], [RED, GREEN], (40, 2))
    assert two[-1, 1].tolist() == [0, 0, 200, 255]


def test_where_slices_share_a_column_the_fullest_is_shown() -> None:
    totals = np.zeros(1000)
    totals[[3, 500, 999]] = (5, 7, 9)
    columns = shown_slices(totals, 300)
    assert len(columns) == 300
    assert {3, 500, 999} <= set(columns.tolist())
    assert (np.diff(columns) > 0).all()


def test_uncertainty_is_stronger_where_it_is_nearer_to_one() -> None:
    band = heat(np.array([0.0, 0.5, 1.0, 7.0]), (1, 2, 3), (5, 4))
    assert band.shape == (5, 4, 4)
    assert band[0, :, 3].tolist() == [0, 128, 255, 255]
    assert band[0, 2, :3].tolist() == [3, 2, 1]


def strip_of(driver: Any) -> Any:
    return driver.desk.furniture.strip


def pixel(strip: Any, index: int, y: int) -> tuple[int, int, int]:
    start, end = span(index, strip.width(), strip.depth)
    image = strip.grab().toImage()
    ratio = image.devicePixelRatio()
    colour = image.pixelColor(round((start + 2) * ratio), round(y * ratio))
    assert end - start > 6
    return colour.red(), colour.green(), colour.blue()


@pytest.mark.parametrize("here_px", [0.5, 30.0, 104.0, 110.0, 640.0, 1279.5])
def test_words_on_the_strip_are_clear_of_where_the_reader_is(here_px: float) -> None:
    place = words_place(here_px, wide_px=100, width=1280)
    assert place.right() < here_px or place.left() > here_px + 4
    assert place.left() >= 0
    assert place.right() <= 1280


def test_the_strip_comes_with_the_first_scan_and_shows_what_the_reader_paints(window: Any, scan_path: Any) -> None:
    driver = window()
    assert not strip_of(driver).isVisible()
    driver.open(scan_path)
    strip = strip_of(driver)
    assert strip.isVisible()
    assert strip.width() > 900
    colour = tuple(int(LESIONS["effusion"].colour[i : i + 2], 16) for i in (1, 3, 5))
    bottom = BARS_TOP + BARS_HEIGHT - 2
    assert pixel(strip, 8, bottom) != colour
    driver.lesions.data[8, 4:30, 4:30] = 3
    driver.desk.link.settle()
    driver.live(0.1)
    assert pixel(strip, 8, bottom) == colour
    assert pixel(strip, 7, bottom) != colour
    driver.session.undo()
    driver.live(0.1)
    assert pixel(strip, 8, bottom) != colour


def test_the_picture_is_not_cut_by_the_strip(at_work: Any) -> None:
    assert at_work.pixel(-0.5, 0).y() >= 0
    assert at_work.pixel(47.5, 0).y() <= at_work.canvas.height()


def test_reviewed_slices_are_ticked_and_lose_it_again(at_work: Any) -> None:
    strip = strip_of(at_work)
    plain = pixel(strip, 3, TICKS_TOP + 3)
    at_work.session.mark_reviewed(3)
    at_work.live(0.1)
    assert pixel(strip, 3, TICKS_TOP + 3) == (0x4A, 0xDE, 0x80)
    at_work.session.unmark(3)
    at_work.live(0.1)
    assert pixel(strip, 3, TICKS_TOP + 3) == plain


def test_uncertainty_stands_above_and_goes_with_the_scan(at_work: Any, scan_path: Any) -> None:
    strip, y = strip_of(at_work), int(UNCERTAIN.top()) + 3
    plain = pixel(strip, 4, y)
    unsure = np.zeros(12)
    unsure[4] = 1.0
    strip.show_uncertainty(unsure)
    assert pixel(strip, 4, y) == (0xF9, 0x73, 0x16)
    assert pixel(strip, 6, y) == plain
    at_work.open(scan_path)
    assert pixel(strip, 4, y) == plain


def test_click_and_drag_go_to_the_slice(at_work: Any) -> None:
    from .conftest import move_to

    strip, dims = strip_of(at_work), at_work.viewer.dims
    places = [QPoint(round(sum(span(index, strip.width(), 12)) / 2), 30) for index in range(12)]
    QTest.mouseClick(strip, LEFT, NONE, places[2])
    assert dims.current_step[0] == 2
    QTest.mousePress(strip, LEFT, NONE, places[9])
    assert dims.current_step[0] == 9
    move_to(strip, places[10], LEFT)
    assert dims.current_step[0] == 10
    move_to(strip, QPoint(strip.width() + 50, 30), LEFT)
    assert dims.current_step[0] == 11
    QTest.mouseRelease(strip, LEFT, NONE, places[11])
    move_to(strip, places[5])
    assert dims.current_step[0] == 11


def test_the_strip_says_what_a_slice_holds(at_work: Any) -> None:
    strip = strip_of(at_work)
    assert strip.told(8) == "Slice 9 of 12: nothing labelled"
    at_work.lesions.data[8, 4:14, 4:14] = 3
    at_work.desk.link.settle()
    at_work.session.mark_reviewed(8)
    assert strip.told(8) == "Slice 9 of 12: pleural effusion 0.7 mL · reviewed ✓"


def test_the_strip_repaints_a_thousand_slices_in_ten_milliseconds(at_work: Any, monkeypatch: Any) -> None:
    strip, rng = strip_of(at_work), np.random.default_rng(0)
    thousand = type("Thousand", (), {"per_slice": {each.name: rng.random(1000) for each in LESIONS}})()
    monkeypatch.setattr(type(strip), "depth", property(lambda _: 1000))
    monkeypatch.setattr(at_work.desk.link, "tally", thousand)
    monkeypatch.setattr(at_work.session._standing, "marks", dict.fromkeys(range(0, 1000, 2)))
    strip.show_uncertainty(rng.random(1000))
    seconds = []
    for _ in range(20):
        strip._on_labels()
        started = time.thread_time()  # what it costs the window, whatever else the machine does
        strip.grab()
        seconds.append(time.thread_time() - started)
    assert np.median(seconds) < 0.010
    assert strip.height() == HEIGHT
