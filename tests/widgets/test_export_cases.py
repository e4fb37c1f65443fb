"""Export of reviewed slices as cases to train on, with the mouse, in the window."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QRadioButton

from napari_covseg.export import bundle
from napari_covseg.io.cases import Case, find_cases, read_case
from napari_covseg.widgets.export_panel import IN_HAND, NO_LIST, NO_SLICE
from napari_covseg.widgets.panel import NOTHING_OPEN

from .conftest import write_scan

LEFT = Qt.MouseButton.LeftButton


def choose(driver: Any, title: str) -> Any:
    """Show the Export panel and choose a kind with the mouse."""
    driver.tabs.show_panel("Export")
    driver.live(0.05)
    panel = driver.tabs.panels["Export"]
    radio = next(each for each in panel.choice.findChildren(QRadioButton) if each.text() == title)
    QTest.mouseClick(radio, LEFT, pos=QPoint(8, radio.height() // 2))
    driver.live(0.05)
    assert radio.isChecked()
    return panel


def press(driver: Any, button: Any) -> None:
    assert button.isVisible()
    assert button.isEnabled(), button.toolTip()
    QTest.mouseClick(button, LEFT)
    driver.live(0.05)


def review(driver: Any, value: int, *slices: int) -> None:
    """Paint a box on every slice, and mark some of them reviewed."""
    values = driver.session.labels.values.copy()
    values[:, 20:24, 10:14] = value
    driver.session.absorb(values, "brush", "brush")
    for index in slices:
        driver.session.mark_reviewed(index)
    driver.live(0.05)


def cases_in(folder: Path) -> tuple[Case, ...]:
    return find_cases([folder])


def test_the_open_scan_becomes_a_case_with_its_reviewed_slices_alone(at_work: Any, tmp_path: Path) -> None:
    panel = choose(at_work, "Cases to train on: this scan")
    assert (panel.go.isEnabled(), panel.why.text()) == (False, NO_SLICE)
    review(at_work, 2, 3, 6)
    assert panel.go.text() == "Export the cases"
    out = tmp_path / "cases"
    panel.folder.value = out
    press(at_work, panel.go)
    at_work.until(lambda: panel.where.text() and not at_work.bench.runner.busy)
    assert panel.where.text().startswith(f"Written and read back: 1 case with 2 reviewed slices, in {out}")
    assert "covseg train --cases" in panel.where.text()
    assert panel.show_folder.isVisible()
    (case,) = cases_in(out)
    assert case.slices == (4, 7)
    scan, labels, lung = read_case(case)
    assert np.array_equal(scan.hu, at_work.bench.current.scan.hu)
    assert np.array_equal(labels.values[[3, 6]], at_work.session.labels.values[[3, 6]])
    assert (labels.values[3] == 2).any()
    assert not np.delete(labels.values, [3, 6], axis=0).any()
    assert lung is None
    at_work.session.mark_reviewed(8)
    press(at_work, panel.go)
    at_work.until(lambda: "there already and kept" in panel.where.text())
    assert cases_in(out)[0].slices == (4, 7)
    assert panel.go.text() == "Replace the cases"
    press(at_work, panel.go)
    at_work.until(lambda: "3 reviewed slices" in panel.where.text())
    assert cases_in(out)[0].slices == (4, 7, 9)
    assert panel.go.text() == "Export the cases"


def test_stopping_leaves_no_half_case(at_work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    review(at_work, 1, 5)
    written, go_on, write_volume = threading.Event(), threading.Event(), bundle.write_volume

    def slowly(*asked: Any) -> Path:
        path = write_volume(*asked)
        written.set()
        go_on.wait(30)
        return path

    monkeypatch.setattr(bundle, "write_volume", slowly)
    panel = choose(at_work, "Cases to train on: this scan")
    panel.folder.value = tmp_path / "cases"
    press(at_work, panel.go)
    at_work.until(written.is_set)
    at_work.live(0.3)
    assert panel.go.text() == "Cancel"
    assert {radio.toolTip() for radio in panel.choice.findChildren(QRadioButton)} == {IN_HAND}
    assert panel.progress.text() == "writing the scan of case"
    press(at_work, panel.go)
    assert (panel.go.text(), panel.go.isEnabled()) == ("Stopping…", False)
    go_on.set()
    at_work.until(lambda: not at_work.bench.runner.busy)
    at_work.live(0.05)
    assert [path.name for path in (tmp_path / "cases").iterdir()] == ["cases.json"]
    with pytest.raises(ValueError, match="holds no case"):
        cases_in(tmp_path / "cases")
    assert panel.where.text() == ""
    assert panel.go.text() == "Export the cases"
    assert at_work.tabs.state_line.message.text() == "Exporting cases: stopped; what was finished is kept."


def test_the_whole_worklist_becomes_cases_save_what_nobody_reviewed_or_was_rejected(
    window: Any, tmp_path: Path
) -> None:
    scans = tmp_path / "monday"
    scans.mkdir()
    for seed, name in enumerate(("anna", "bert", "cleo", "dora", "emil")):
        write_scan(scans / f"{name}_ct.nii.gz", seed)
    driver = window()
    panel = choose(driver, "Cases to train on: the whole worklist")
    assert (panel.go.isEnabled(), panel.why.text()) == (False, NO_LIST)
    choose(driver, "Cases to train on: this scan")
    assert panel.why.text() == NOTHING_OPEN
    driver.bench.list_scans(scans)
    driver.until(lambda: driver.bench.shelf.worklist is not None and not driver.bench.runner.busy)
    for name, slices in (("anna", (1, 2)), ("bert", ()), ("cleo", (4,)), ("dora", (5,))):
        driver.open(scans / f"{name}_ct.nii.gz")
        review(driver, 1, *slices)
    driver.bench.shelf.worklist.reject(scans / "cleo_ct.nii.gz", driver.bench.reader, "motion")
    choose(driver, "Cases to train on: the whole worklist")
    panel.folder.value = tmp_path / "cases"
    press(driver, panel.go)
    driver.until(lambda: panel.where.text() and not driver.bench.runner.busy)
    told = panel.where.text()
    assert told.startswith(f"Written and read back: 2 cases with 3 reviewed slices, in {tmp_path / 'cases'}")
    assert "1 session left out: no slice is marked reviewed." in told
    assert sorted(case.slices for case in cases_in(tmp_path / "cases")) == [(2, 3), (6,)]
    assert not [path.name for path in (tmp_path / "cases").iterdir() if path.name[:4] in ("anna", "dora")]
