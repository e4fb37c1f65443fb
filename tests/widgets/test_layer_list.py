from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")


def told(driver: Any) -> list[Any]:
    """What the list of layers is told from now on."""
    heard: list[Any] = []
    model = driver.viewer.window._qt_viewer.layers.model().sourceModel()
    model.dataChanged.connect(lambda *what: heard.append(what))
    return heard


def test_scrolling_leaves_the_list_of_layers_alone(at_work: Any) -> None:
    heard = told(at_work)
    at_work.viewer.dims.set_current_step(0, 3)
    at_work.viewer.dims.set_current_step(0, 4)
    assert heard == []


def test_the_list_is_told_what_it_shows(at_work: Any) -> None:
    heard = told(at_work)
    at_work.lesions.visible = False
    assert heard


def test_thumbnails_follow_when_the_reader_rests(at_work: Any) -> None:
    scan = at_work.desk.link.layers.scan
    at_work.viewer.dims.set_current_step(0, 0)
    at_work.live(0.5)
    before = np.array(scan.thumbnail)
    at_work.viewer.dims.set_current_step(0, 6)
    np.testing.assert_array_equal(scan.thumbnail, before)
    at_work.until(lambda: not np.array_equal(scan.thumbnail, before))


def test_closing_leaves_napari_its_list(at_work: Any) -> None:
    heard = told(at_work)
    at_work.desk.close()
    at_work.viewer.dims.set_current_step(0, 3)
    assert heard
