"""napari's own way to the sample ends in CovSeg, with the scan open in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QDockWidget

from napari_covseg.widgets.benches import desk_of
from napari_covseg.widgets.tabs import CovSegTabs

from .conftest import Driver

SAMPLE = ("napari-covseg", "chest-ct")


@pytest.fixture
def bare(make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch, collector: Any) -> Iterator[Driver]:
    """A napari window without CovSeg; what the sample brings is looked for in it."""
    monkeypatch.setenv("COVSEG_HEADLESS", "1")
    driver = Driver(make_napari_viewer(show=True), None, None)
    driver.live(0.1)
    yield driver
    if driver.desk is not None:
        driver.desk.close()


def tabs_in(driver: Driver) -> list[Any]:
    return list(driver.viewer.window._qt_window.findChildren(CovSegTabs))


def test_the_sample_opens_the_panels_and_is_open_in_them(bare: Driver) -> None:
    bare.viewer.open_sample(*SAMPLE)
    (bare.tabs,) = tabs_in(bare)
    bare.desk = desk_of(bare.viewer)
    bare.until(lambda: bare.session is not None, 60)
    bare.live(0.2)
    assert bare.tabs.isVisible()
    assert bare.tabs.panels["Open"].line.text().startswith("CT, 64 slices")
    assert [layer.name for layer in bare.viewer.layers if layer.visible] == ["sample_ct", "lesions", "outlines"]


def test_panels_that_are_there_are_shown_again_and_no_others(window: Any) -> None:
    driver = window()
    dock = next(
        each for each in driver.viewer.window._qt_window.findChildren(QDockWidget) if each.findChild(CovSegTabs)
    )
    dock.hide()
    driver.viewer.open_sample(*SAMPLE)
    driver.until(lambda: driver.session is not None, 60)
    assert tabs_in(driver) == [driver.tabs]
    assert driver.tabs.isVisible()


def test_a_script_without_a_window_gets_the_layers() -> None:
    model = ViewerModel()
    assert [layer.name for layer in model.open_sample(*SAMPLE)] == ["sample_ct", "sample_lesion"]
