"""The window of our own: nothing that a reader does not need, and room for what she does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRect
from qtpy.QtWidgets import QApplication, QWidget

from napari_covseg.widgets import reading_room
from napari_covseg.widgets.benches import desk_of
from napari_covseg.widgets.tour_steps import STEPS

from .conftest import SHAPE, Driver


@pytest.fixture
def room(make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch, collector: Any, tmp_path: Path) -> Iterator[Driver]:
    """The window that `covseg review` opens, closed and freed as every window of these tests."""
    monkeypatch.setenv("COVSEG_HEADLESS", "1")
    monkeypatch.setattr(reading_room.napari, "Viewer", lambda **given: make_napari_viewer(show=True))
    viewer, tabs = reading_room.opened_room(tmp_path / "sessions")
    driver = Driver(viewer, desk_of(viewer), tabs)
    driver.live(0.2)
    yield driver
    driver.desk.close()


def test_napari_s_buttons_that_are_not_for_reading_are_hidden_and_the_others_there(room: Driver) -> None:
    qt_viewer = room.viewer.window._qt_viewer
    buttons = qt_viewer.viewerButtons
    for name in ("consoleButton", "rollDimsButton", "transposeDimsButton", "gridViewButton"):
        assert not getattr(buttons, name).isVisible()
    assert buttons.ndisplayButton.isVisible()
    assert buttons.resetViewButton.isVisible()
    assert not qt_viewer.layerButtons.isVisible()
    assert not qt_viewer.dockLayerControls.isVisible()
    assert qt_viewer.dockLayerList.isVisible()


def test_the_table_of_lesions_is_taller_than_the_list_of_layers(room: Driver, scan_path: Path) -> None:
    room.open(scan_path)
    values = np.zeros(SHAPE[1:], dtype=np.uint8)
    for place in range(0, 36, 6):
        values[place : place + 4, place : place + 4] = 1
    room.session.propose(6, values, "a network", "run")
    table = room.tabs.panels["Review"].lesions.table
    room.until(lambda: table.model().rowCount() == 6)
    room.live(0.2)
    assert table.isVisible()
    assert table.window() is room.viewer.window._qt_window
    docked: QWidget = table.parentWidget().parentWidget()
    assert docked.height() > room.viewer.window._qt_viewer.dockLayerList.height()
    assert table.rowHeight(0) * 6 <= table.viewport().height()
    for title in room.tabs.panels:  # seen beside any panel
        room.tabs.show_panel(title)
        QApplication.processEvents()
        assert table.isVisible()


def test_the_picture_stays_where_it_is_when_the_first_lesions_come(room: Driver, scan_path: Path) -> None:
    room.open(scan_path)
    room.live(0.3)
    before = room.canvas.width(), room.pixel(0, 0)
    values = np.zeros(SHAPE[1:], dtype=np.uint8)
    values[4:8, 4:8] = 1
    room.session.propose(6, values, "a network", "run")
    table = room.tabs.panels["Review"].lesions.table
    room.until(lambda: table.model().rowCount() == 1 and table.isVisible())
    room.live(0.3)
    assert (room.canvas.width(), room.pixel(0, 0)) == before


def test_the_tour_lies_beside_the_picture_and_leaves_the_lesions_in_sight(room: Driver, scan_path: Path) -> None:
    room.open(scan_path)
    tour, lesions = room.tabs.tour, room.tabs.panels["Review"].lesions
    tour.begin()
    room.live(0.2)
    window = room.viewer.window._qt_window
    for number in range(len(STEPS)):
        tour.number = number
        tour._show()
        room.live(0.05)
        picture = QRect(room.canvas.mapTo(window, QPoint(0, 0)), room.canvas.size())
        assert not tour.geometry().intersects(picture)
        assert not tour.geometry().intersects(QRect(lesions.mapTo(window, QPoint(0, 0)), lesions.size()))
        assert window.rect().contains(tour.geometry())
