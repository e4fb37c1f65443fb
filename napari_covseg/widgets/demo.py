"""The main job in the real window: open, segment, correct, review, fine-tune, export; a picture at every step."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from napari.viewer import Viewer
from qtpy.QtWidgets import QApplication

from napari_covseg.export.tables import write_quantities
from napari_covseg.io import read_labels, sample_lesion, sample_lung, sample_scan
from napari_covseg.jobs import Run
from napari_covseg.measure import quantities
from napari_covseg.volume import LUNGS, LabelMap, labels_on
from napari_covseg.widgets import gestures
from napari_covseg.widgets.benches import desk_of
from napari_covseg.widgets.tabs import CovSegTabs
from napari_covseg.workbench import OpenScan, SegmentRequest, snapshot

STEPS = 12
SLICES_TO_REVIEW = 3
BRUSH_MM = 8.0
STROKE_EVERY = 9
TELL_EVERY_S = 10.0


class Demo:
    """Does what a reader would do, on the bundled sample.

    Parameters
    ----------
    viewer
        In which window.
    tabs
        Whose panels are shown on the way.
    out
        Where pictures, mask and table go.
    """

    def __init__(self, viewer: Viewer, tabs: CovSegTabs, out: Path) -> None:
        self.viewer, self.tabs, self.out = viewer, tabs, out
        self.desk, self.bench = desk_of(viewer), desk_of(viewer).bench
        self.written: list[Path] = []
        self._failed: list[Exception] = []

    def carry_out(self) -> list[Path]:
        """Do the whole job and return what was written.

        Raises
        ------
        ValueError
            If no checkpoint is at hand.
        """
        self._wait(self.bench.open(sample_scan()))
        opened = self._opened()
        self._picture("Open", "01_open")
        self._segment()
        self._picture("Segment", "02_segment")
        slices = self._correct(opened)
        self._picture("Review", "03_correct")
        for index in slices:
            gestures.go_to(self.desk, index)
            gestures.review_and_go_on(self.desk)
        gestures.go_to(self.desk, slices[0])
        self._picture("Review", "04_reviewed")
        self._learn()
        self._picture("Learn", "05_learn")
        self._export(opened)
        self._picture("Export", "06_export")
        return self.written

    def _segment(self) -> None:
        trained = self.bench.choice.checkpoint
        if trained is None:
            raise ValueError("No trained weights are at hand, and the demo needs some; make them with 'covseg train'.")
        self._wait(self.bench.segment(SegmentRequest(trained, centre=gestures.slice_shown(self.desk))))
        fullest = self.desk.link.tally.fullest_slice if self.desk.link.tally else None
        gestures.go_to(self.desk, gestures.slice_shown(self.desk) if fullest is None else fullest)

    def _correct(self, opened: OpenScan) -> list[int]:
        """Paint what the network missed on the slices where it missed most, and return these."""
        truth = labels_on(read_labels(sample_lesion()), opened.session.geometry).values
        missed = (truth > 0) & (opened.session.labels.values != truth)
        slices = np.argsort(missed.sum(axis=(1, 2)))[::-1][:SLICES_TO_REVIEW].tolist()
        gestures.choose_class(self.desk, "ggo")
        for index in slices:
            gestures.go_to(self.desk, index)
            for value in range(1, 4):
                self._stroke(index, np.argwhere(missed[index] & (truth[index] == value)), value)
        gestures.go_to(self.desk, slices[0])
        return [int(index) for index in slices]

    def _stroke(self, index: int, points: Any, value: int) -> None:
        """Paint one stroke of a class through some points of a slice, with the layer's own brush."""
        lesions = gestures.lesions_of(self.desk)
        if lesions is None or len(points) == 0:
            return
        lesions.brush_size = max(1, round(BRUSH_MM / float(lesions.scale[1])))
        with lesions.block_history():
            for row, column in points[::STROKE_EVERY]:
                lesions.paint((index, row, column), value)
        self._breathe()

    def _learn(self) -> None:
        self.tabs.show_panel("Learn")
        panel: Any = self.tabs.panels["Learn"]
        panel.steps = STEPS
        panel.go.click()
        self._wait(self.bench.runner.runs[0])
        panel.verdict.keep.click()  # so few steps show how it goes; nobody should work with such a child

    def _export(self, opened: OpenScan) -> None:
        panel: Any = self.tabs.panels["Export"]
        panel.folder.value = self.out
        panel.go.click()
        if not self.bench.runner.runs:  # an earlier demo's mask is there, and the panel asks
            panel.go.click()
        run = self.bench.runner.runs[0]
        run.finished.connect(self.written.append)
        self._wait(run)
        labels = snapshot(opened.session)
        lung: LabelMap = labels_on(read_labels(sample_lung(), LUNGS), labels.geometry)
        table = write_quantities(quantities(labels, opened.scan, lung), self.out / "millilitres.csv")
        self.written.append(table)

    def _opened(self) -> OpenScan:
        if self.bench.current is None:
            raise ValueError("The sample could not be opened.")
        return self.bench.current

    def _wait(self, run: Run[Any]) -> None:
        run.failed.connect(self._failed.append)
        told_at_s = -TELL_EVERY_S
        while not run.over:
            self._breathe()
            if time.monotonic() - told_at_s >= TELL_EVERY_S:
                told_at_s = time.monotonic()
                _tell(run)
        if self._failed:
            raise self._failed[0]

    def _picture(self, panel: str, name: str) -> None:
        self.tabs.show_panel(panel)
        self._breathe(0.3)
        path = self.out / f"{name}.png"
        self.viewer.window.screenshot(str(path), canvas_only=False, flash=False)
        self.written.append(path)

    def _breathe(self, seconds: float = 0.02) -> None:
        """Let the window live for a moment."""
        until = time.monotonic() + seconds
        QApplication.processEvents()
        while time.monotonic() < until:
            time.sleep(0.005)
            QApplication.processEvents()


def _tell(run: Run[Any]) -> None:
    """Say on the terminal how far a run is: the window may be on a screen that nobody sees."""
    progress = run.progress
    share = f": {progress.done} of {progress.total}" if progress.done else ""
    print(f"{run.title}{share}", file=sys.stderr, flush=True)  # noqa: T201 - the demo is a program
