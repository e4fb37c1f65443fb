from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_covseg.widgets.tour_steps import STEPS
from napari_covseg.workbench import SegmentRequest

from .conftest import move_to


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
    tour.next.click()
    assert tour.step.text() == "Step 1 of 5"
    assert tour.next.toolTip() == STEPS[0].waits_for
    assert tour.words.text().endswith(STEPS[0].waits_for)
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


def test_every_step_fits_into_the_window_at_1280_by_800(at_work: Any) -> None:
    tour = at_work.tabs.tour
    window = at_work.viewer.window._qt_window
    for number in range(len(STEPS)):
        tour.number = number
        tour._show()
        at_work.live(0.05)
        assert window.rect().contains(tour.geometry())
        for piece in (tour.title, tour.words):
            assert piece.height() >= piece.heightForWidth(piece.width())
            assert piece.width() >= piece.minimumSizeHint().width()
        for button in (tour.leave, tour.next, *([tour.act] if tour.act.isVisible() else [])):
            assert button.width() >= button.fontMetrics().horizontalAdvance(button.text())


def test_the_card_is_dragged_away_and_stays_there_and_in_the_window(at_work: Any) -> None:
    tour, window = at_work.tabs.tour, at_work.viewer.window._qt_window
    tour.begin()
    at_work.live(0.1)
    start, grip = tour.pos(), QPoint(4, 4)
    QTest.mousePress(tour, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, grip)
    move_to(tour, grip + QPoint(120, -90), Qt.MouseButton.LeftButton)
    QTest.mouseRelease(tour, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, grip)
    assert tour.pos() == start + QPoint(120, -90)
    tour.go_on()
    at_work.viewer.window.resize(1270, 790)
    at_work.live(0.1)
    assert tour.x() == start.x() + 120
    QTest.mousePress(tour, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, grip)
    move_to(tour, QPoint(5000, 5000), Qt.MouseButton.LeftButton)
    assert window.rect().contains(tour.geometry())


def test_cancel_stays_in_sight_until_the_network_is_done(quick_network: Any, at_work: Any) -> None:
    quick_network(0.03)
    tour, panel = at_work.tabs.tour, at_work.tabs.panels["Segment"]
    tour.begin()
    tour.next.click()
    assert tour.title.text() == "Let a network find the lesions"
    panel.go.click()
    at_work.until(lambda: panel._run.progress.done > 3)
    assert panel.go.isVisible()
    assert panel.go.text() == "Cancel"
    at_work.until(lambda: tour.title.text() == "Correct it")
    assert not at_work.bench.runner.busy


def test_five_steps() -> None:
    assert len(STEPS) == 5
