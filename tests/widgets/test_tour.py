from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt

from napari_covseg.widgets.tour_steps import STEPS
from napari_covseg.workbench import SegmentRequest


def test_the_tour_goes_on_when_the_reader_has_done_the_step(
    window: Any, scan_path: Path, quick_network: Any, trained: Any
) -> None:
    quick_network()
    driver = window()
    tour = driver.tabs.tour
    tour.begin()
    assert tour.isVisible()
    assert tour.step.text() == "Step 1 of 5"
    assert driver.tabs.tabs.currentIndex() == 0
    driver.open(scan_path)
    assert tour.title.text() == "Look through it"
    tour.next.click()
    assert tour.title.text() == "Let a network find the lesions"
    run = driver.bench.segment(SegmentRequest(trained))
    driver.until(lambda: run.over)
    assert tour.title.text() == "Correct it"
    driver.key(Qt.Key.Key_S)
    driver.stroke((20, 30), (30, 35))
    assert tour.title.text() == "Say that a slice is right"
    assert tour.next.text() == "Done"
    assert not driver.bench.remembered.tour_taken
    driver.key(Qt.Key.Key_R)
    assert not tour.isVisible()
    assert driver.bench.remembered.tour_taken


def test_the_sample_is_opened_by_the_first_step(window: Any) -> None:
    driver = window()
    tour = driver.tabs.tour
    tour.begin()
    assert tour.act.text() == "Open the sample"
    tour.act.click()
    driver.until(lambda: driver.session is not None, 60)
    driver.live(0.2)
    assert tour.title.text() == "Look through it"
    assert not tour.act.isVisible()


def test_the_tour_is_dismissed_for_good(window: Any) -> None:
    driver = window()
    driver.tabs.tour.begin()
    driver.tabs.tour.leave.click()
    assert not driver.tabs.tour.isVisible()
    driver.viewer.close()
    again = window()
    again.tabs.tour.begin()
    assert not again.tabs.tour.isVisible()


def test_every_step_fits_on_the_picture_at_1280_by_800(at_work: Any) -> None:
    tour = at_work.tabs.tour
    native = at_work.canvas
    window = at_work.viewer.window._qt_window
    for number in range(len(STEPS)):
        tour.number = number
        tour._show()
        at_work.live(0.05)
        top_left = native.mapTo(window, native.rect().topLeft())
        assert tour.y() >= top_left.y()
        assert tour.geometry().bottom() <= top_left.y() + native.height()
        assert tour.words.height() >= tour.words.heightForWidth(tour.words.width())
        for button in (tour.leave, tour.next):
            assert button.width() >= button.fontMetrics().horizontalAdvance(button.text())


def test_five_steps() -> None:
    assert len(STEPS) == 5
