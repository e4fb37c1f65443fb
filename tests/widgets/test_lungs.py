from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_covseg.jobs import Progress
from napari_covseg.review.drawn_lungs import FOLDER
from napari_covseg.workbench import SegmentRequest

from .conftest import SHAPE, write_scan

CTRL = Qt.KeyboardModifier.ControlModifier
LUNG_BOX = (slice(5, 40), slice(4, 36))


@pytest.fixture
def lung_network(monkeypatch: pytest.MonkeyPatch, no_weights: None, trained: Any) -> Callable[..., None]:
    """A network that draws a lung on every slice, or knows no lung, and finds ground glass in the middle of it."""

    def install(box: Any = LUNG_BOX, seconds_per_slice: float = 0.0, knows_lung: bool = True) -> None:
        from napari_covseg import inference

        def segmenting(trained: Any, device: str, scan: Any, slices: Any) -> Any:
            for done, index in enumerate(slices, start=1):
                time.sleep(seconds_per_slice)
                labels = np.zeros(scan.geometry.shape[1:], dtype=np.uint8)
                labels[20:30, 10:20] = 1
                lung = np.zeros(labels.shape, dtype=bool)
                lung[box] = True
                yield inference.SliceDone(index, labels, lung if knows_lung else None)
                yield Progress(done, len(slices), f"slice {index + 1}")

        monkeypatch.setattr(inference, "segmenting", segmenting)

    return install


def segment(driver: Any, trained: Any, **request: Any) -> None:
    run = driver.bench.segment(SegmentRequest(trained, **request))
    driver.until(lambda: run.over)
    driver.live(0.1)


def names(driver: Any) -> list[str]:
    return [layer.name for layer in driver.viewer.layers]


def test_the_lung_is_a_second_layer_where_the_scan_is_and_hidden_at_first(
    at_work: Any, lung_network: Any, trained: Any
) -> None:
    lung_network()
    segment(at_work, trained)
    assert names(at_work) == ["case_ct", "lung", "lesions", "outlines"]
    lung, scan = at_work.viewer.layers["lung"], at_work.desk.link.layers.scan
    assert not lung.visible
    assert lung.contour == 1
    np.testing.assert_array_equal(lung.scale, scan.scale)
    assert lung.metadata["covseg"]["geometry"].same_grid(scan.metadata["covseg"]["geometry"])
    assert {str(unit) for unit in lung.units} == {"millimeter"}
    expected = np.zeros(SHAPE, dtype=bool)
    expected[(slice(None), *LUNG_BOX)] = True
    np.testing.assert_array_equal(lung.data > 0, expected)
    np.testing.assert_array_equal(lung.colormap.map(np.uint8(1)), lung.colormap.color_dict[1])
    assert not any(
        np.allclose(lung.colormap.color_dict[1], at_work.lesions.colormap.color_dict[n]) for n in (1, 2, 3, 4)
    )
    assert at_work.viewer.layers.selection.active is at_work.lesions


def test_a_network_that_knows_no_lung_adds_no_layer(at_work: Any, lung_network: Any, trained: Any) -> None:
    lung_network(knows_lung=False)
    segment(at_work, trained)
    assert names(at_work) == ["case_ct", "lesions", "outlines"]
    at_work.key(Qt.Key.Key_U)
    assert "No network has drawn the lungs" in at_work.tabs.state_line.message.text()


def test_the_lung_grows_while_slices_come_in(at_work: Any, lung_network: Any, trained: Any) -> None:
    lung_network(seconds_per_slice=0.15)
    run = at_work.bench.segment(SegmentRequest(trained, centre=6))
    at_work.until(lambda: "lung" in names(at_work))
    lung = at_work.viewer.layers["lung"]
    at_work.key(Qt.Key.Key_U)
    assert lung.visible
    grown = [int(lung.data.any(axis=(1, 2)).sum())]
    while not run.over:
        at_work.live(0.05)
        grown.append(int(lung.data.any(axis=(1, 2)).sum()))
    assert 0 < grown[0] < 12
    assert grown == sorted(grown)
    assert grown[-1] == 12
    assert lung.visible
    at_work.viewer.dims.set_current_step(0, 11)
    at_work.live(0.1)
    assert np.asarray(lung._slice.image.raw).any()  # what is on screen, not only what is in the array


def test_the_brush_never_reaches_the_lung(at_work: Any, lung_network: Any, trained: Any) -> None:
    lung_network()
    segment(at_work, trained)
    lung = at_work.viewer.layers["lung"]
    before = lung.data.copy()
    at_work.viewer.layers.selection.active = lung
    lung.mode = "paint"
    assert str(lung.mode) == "pan_zoom"
    at_work.stroke((2, 2), (4, 30))
    at_work.key(Qt.Key.Key_S)  # a class key takes the reader back to the lesions
    assert at_work.viewer.layers.selection.active is at_work.lesions
    at_work.stroke((2, 2), (4, 30))
    assert (at_work.lesions.data[6] == 2).any()
    np.testing.assert_array_equal(lung.data, before)


def test_a_lung_that_comes_in_under_the_pen_leaves_the_stroke_alone(
    at_work: Any, lung_network: Any, trained: Any
) -> None:
    def finish() -> None:
        at_work.bench.current.lungs.write(3, np.ones(SHAPE[1:], dtype=bool))
        at_work.bench.lungs_found.emit(at_work.bench.current, 3)
        at_work.live(0.2)

    at_work.key(Qt.Key.Key_D)
    at_work.stroke((20, 10), (30, 25), between=finish)
    assert "lung" in names(at_work)
    painted = at_work.session.labels.values
    assert painted[6, 20, 10] == painted[6, 25, 18] == painted[6, 30, 25] == 3
    assert str(at_work.lesions.mode) == "paint"


def test_undo_takes_lesions_back_and_a_rerun_draws_the_lung_anew(at_work: Any, lung_network: Any, trained: Any) -> None:
    lung_network()
    segment(at_work, trained)
    lung = at_work.viewer.layers["lung"]
    at_work.viewer.layers.selection.active = lung
    at_work.key(Qt.Key.Key_Z, CTRL)
    assert not at_work.lesions.data.any()
    assert lung.data[(slice(None), *LUNG_BOX)].all()
    lung_network(box=(slice(0, 3), slice(0, 3)))
    segment(at_work, trained, scope="range", first=2, last=4)
    assert names(at_work).count("lung") == 1
    assert at_work.viewer.layers["lung"] is lung
    drawn = lung.data.sum(axis=(1, 2))
    assert drawn[2:5].tolist() == [9, 9, 9]
    assert drawn[5] == 35 * 32
    lung_network(knows_lung=False)
    segment(at_work, trained, over_corrections=True)
    assert lung.data.sum(axis=(1, 2)).tolist() == drawn.tolist()


def test_the_next_scan_has_no_lung_of_the_one_before(
    at_work: Any, lung_network: Any, trained: Any, scan_path: Path, tmp_path: Path
) -> None:
    lung_network()
    segment(at_work, trained)
    at_work.open(scan_path)  # the same scan again, still on the bench
    assert names(at_work) == ["case_ct", "lung", "lesions", "outlines"]
    at_work.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    assert names(at_work) == ["other_ct", "lesions", "outlines"]
    at_work.viewer.layers.remove(at_work.lesions)
    assert names(at_work) == []


def test_the_lungs_are_known_after_a_restart_and_hold_the_brush(
    window: Any, scan_path: Path, lung_network: Any, trained: Any
) -> None:
    first = window()
    first.open(scan_path)
    lung_network()
    segment(first, trained)
    drawn = first.viewer.layers["lung"].data.copy()
    assert drawn.any()
    first.desk.close()
    again = window()
    again.open(scan_path)
    np.testing.assert_array_equal(again.viewer.layers["lung"].data, drawn)
    assert not again.viewer.layers["lung"].visible
    before = again.session.labels.values.copy()
    again.key(Qt.Key.Key_A)
    again.key(Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier)
    index = again.viewer.dims.current_step[0]
    again.stroke((1, 1), (24, 24))
    changed = again.session.labels.values != before
    assert changed[index].any()
    assert not (changed & (drawn == 0)).any()


def test_the_lung_of_a_scan_that_left_the_screen_is_not_shown_on_another(
    at_work: Any, lung_network: Any, trained: Any, tmp_path: Path
) -> None:
    lung_network(seconds_per_slice=0.05)
    run = at_work.bench.segment(SegmentRequest(trained))
    opening = at_work.bench.open(write_scan(tmp_path / "other_ct.nii.gz", seed=1))
    at_work.until(lambda: run.over and opening.over)
    at_work.live(0.2)
    assert names(at_work) == ["other_ct", "lesions", "outlines"]


def test_the_coronal_and_sagittal_views_show_the_lungs_too(at_work: Any, trained: Any, lung_network: Any) -> None:
    lung_network()
    at_work.key(Qt.Key.Key_Y)
    segment(at_work, trained)
    panes = at_work.desk.furniture.ortho.panes
    first = at_work.desk.link.lungs.layer
    assert [pane.lungs.layer.data is first.data for pane in panes] == [True, True]
    assert [pane.lungs.is_shown for pane in panes] == [False, False]
    at_work.key(Qt.Key.Key_U)
    assert [pane.lungs.is_shown for pane in panes] == [True, True]
    before = [pane.qt_viewer.screenshot(flash=False) for pane in panes]
    at_work.key(Qt.Key.Key_U)
    for pane, shown in zip(panes, before, strict=True):
        cyan = (shown[..., 2] > 200) & (shown[..., 0] < 100)
        hidden = pane.qt_viewer.screenshot(flash=False)
        assert cyan.sum() > 20
        assert ((hidden[..., 2] > 200) & (hidden[..., 0] < 100)).sum() == 0


def test_views_opened_after_the_lungs_were_drawn_show_them(at_work: Any, trained: Any, lung_network: Any) -> None:
    lung_network()
    segment(at_work, trained)
    at_work.key(Qt.Key.Key_U)
    at_work.key(Qt.Key.Key_Y)
    assert [pane.lungs.is_shown for pane in at_work.desk.furniture.ortho.panes] == [True, True]


def test_lungs_that_cannot_be_kept_are_told_once_and_known_until_the_scan_is_closed(
    at_work: Any, lung_network: Any, trained: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    complaints: list[str] = []
    at_work.bench.complained.connect(complaints.append)
    beside = at_work.session.folder / FOLDER
    beside.write_text("no folder")
    lung_network()
    segment(at_work, trained)
    (said,) = complaints
    assert said.startswith("The lungs could not be kept beside the session (")
    assert len(at_work.bench.current.lungs.slices) == SHAPE[0]
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err + printed.out
    beside.unlink()
    segment(at_work, trained, over_corrections=True)
    assert len(complaints) == 1
    assert {each.name for each in beside.iterdir()} == {str(index) for index in range(SHAPE[0])}
