"""N and a button lead to the slice most worth a look; the strip shows why, also after a restart."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_covseg.jobs import Progress
from napari_covseg.networks import Checkpoint
from napari_covseg.widgets.strip import UNCERTAIN
from napari_covseg.widgets.strip_picture import span
from napari_covseg.workbench import SegmentRequest

UNSURE_VOXELS = np.array([0, 0, 9000, 100, 0, 0, 0, 0, 2000, 6000, 0, 0], dtype=float)


@pytest.fixture
def segmented(at_work: Any, trained: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A window in which a network has said of every slice how unsure it is."""
    from napari_covseg import inference

    def segmenting(trained: Any, device: str, scan: Any, slices: Any) -> Any:
        for done, index in enumerate(slices, start=1):
            labels = np.zeros(scan.geometry.shape[1:], dtype=np.uint8)
            yield inference.SliceDone(index, labels, None, UNSURE_VOXELS[index])
            yield Progress(done, len(slices), f"slice {index + 1}")

    monkeypatch.setattr(inference, "segmenting", segmenting)
    run = at_work.bench.segment(SegmentRequest(trained))
    at_work.until(lambda: run.over)
    at_work.tabs.tabs.setCurrentWidget(at_work.tabs.panels["Review"])
    at_work.live(0.1)
    return at_work


def row_of(driver: Any) -> Any:
    return driver.tabs.panels["Review"].next


def shown(driver: Any) -> int:
    return int(driver.viewer.dims.current_step[0])


def orange(driver: Any, index: int) -> bool:
    strip = driver.desk.furniture.strip
    x = round(sum(span(index, strip.width(), 12)) / 2)
    colour = strip.grab().toImage().pixelColor(x, int(UNCERTAIN.top()) + 3)
    return bool(colour.red() > colour.blue() + 60)


def test_without_a_network_slices_are_spread_over_the_scan(at_work: Any) -> None:
    assert row_of(at_work).button.isEnabled()
    apart = int(re.fullmatch(r"It lies (\d+) mm from the nearest slice .*", row_of(at_work).why.text())[1])
    offered = int(re.search(r"slice (\d+)", row_of(at_work).button.text())[1]) - 1
    assert apart == round(abs(offered - shown(at_work)) * at_work.bench.current.scan.geometry.spacing_mm[0])
    seen = []
    for _ in range(4):
        at_work.key(Qt.Key.Key_N)
        seen.append(shown(at_work))
    assert len(set(seen)) == 4
    assert max(seen) - min(seen) > 6


def test_n_goes_to_where_the_network_is_unsure_and_on_from_there(segmented: Any) -> None:
    assert row_of(segmented).button.text() == "Next: slice 3 of 12  (N)"
    ml = 9000 * segmented.bench.current.scan.geometry.voxel_ml
    assert row_of(segmented).why.text() == f"The network is unsure of {ml:.1f} mL there."
    segmented.key(Qt.Key.Key_N)
    assert shown(segmented) == 2
    assert row_of(segmented).button.text() == "Next: slice 10 of 12  (N)"
    QTest.mouseClick(row_of(segmented).button, Qt.MouseButton.LeftButton)
    segmented.live(0.05)
    assert shown(segmented) == 9
    led = {2, 9}
    for _ in range(10):
        segmented.key(Qt.Key.Key_N)
        led.add(shown(segmented))
    assert led == set(range(12))
    segmented.key(Qt.Key.Key_N)
    assert shown(segmented) == 2  # and round again


def test_a_slice_on_screen_is_not_suggested(segmented: Any) -> None:
    segmented.viewer.dims.set_current_step(0, 2)
    assert row_of(segmented).button.text() == "Next: slice 10 of 12  (N)"
    segmented.viewer.dims.set_current_step(0, 5)
    assert row_of(segmented).button.text() == "Next: slice 10 of 12  (N)"  # the reader was there
    segmented.key(Qt.Key.Key_N)
    assert shown(segmented) == 9


def test_the_last_slice_that_is_left_is_suggested_though_it_is_on_screen(segmented: Any) -> None:
    segmented.viewer.dims.set_current_step(0, 2)
    for index in set(range(12)) - {2}:
        segmented.session.mark_reviewed(index)
    segmented.live(0.05)
    assert row_of(segmented).button.text() == "Next: slice 3 of 12  (N)"
    segmented.key(Qt.Key.Key_N)
    assert shown(segmented) == 2


def test_what_is_reviewed_is_not_suggested_and_at_the_end_that_is_said(segmented: Any) -> None:
    segmented.session.mark_reviewed(2)
    segmented.live(0.05)
    assert row_of(segmented).button.text() == "Next: slice 10 of 12  (N)"
    for index in range(12):
        if index != 2:
            segmented.session.mark_reviewed(index)
    segmented.live(0.05)
    assert not row_of(segmented).button.isEnabled()
    assert row_of(segmented).button.toolTip() == "Every slice is reviewed."
    segmented.key(Qt.Key.Key_N)
    assert segmented.tabs.state_line.message.text() == "Every slice is reviewed."


def test_the_strip_shows_and_tells_it_also_after_a_restart(segmented: Any, window: Any, scan_path: Any) -> None:
    assert orange(segmented, 2)
    assert not orange(segmented, 5)
    assert "network unsure of" in segmented.desk.furniture.strip.told(2)
    assert "unsure" not in segmented.desk.furniture.strip.told(5)
    segmented.desk.close()
    again = window()
    again.open(scan_path)
    assert orange(again, 2)
    assert not orange(again, 5)
    assert row_of(again).button.text() == "Next: slice 3 of 12  (N)"


def test_the_list_of_keys_has_it(at_work: Any) -> None:
    assert ("N", "Next slice worth a look") in at_work.desk.furniture.cheat_sheet.lines
