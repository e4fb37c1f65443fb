"""Make the pictures of the window: every panel in every state, light and dark, in the real window at 1280×800.

    .ci/with_display .venv/bin/python docs/make_pictures.py [DIR] [NAME …]

They are kept small: few colours, and of most states only the panel.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent / "pictures"
COLOURS = 128
READER = "m.okafor"
SLICES_LED_OVER = 14
WHOLE = (
    "open_empty",
    "tour",
    "open_worklist",
    "segment_busy",
    "review_full",
    "review_keys",
    "review_compare",
    "review_next",
    "review_views",
    "learn_rest",
)
"""Pictures of the whole window; the others are of the panel in it."""


class Studio:
    """A window with CovSeg in it, and hands to bring it into every state."""

    def __init__(self, folder: Path, theme: str) -> None:
        import napari

        from napari_covseg.widgets.benches import desk_of
        from napari_covseg.widgets.reading_room import opened_room

        napari.settings.get_settings().appearance.theme = theme
        self.viewer, self.tabs = opened_room(folder)
        self.desk = desk_of(self.viewer)
        self.live(0.6)

    def live(self, seconds: float = 0.2) -> None:
        """Let the window live for a moment."""
        from qtpy.QtWidgets import QApplication

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            QApplication.processEvents()
            time.sleep(0.005)

    def wait(self, run: Any) -> None:
        """Wait until a run is over."""
        while not run.over:
            self.live(0.05)
        self.live(0.4)

    def open_sample(self) -> None:
        """Open the synthetic scan."""
        from napari_covseg.io import sample_scan

        self.wait(self.desk.bench.open(sample_scan()))

    def label(self) -> None:
        """Put the sample's own lesions and lungs where a network would."""
        from napari_covseg.io import read_labels, sample_lesion, sample_lung
        from napari_covseg.volume import LUNGS, labels_on

        session, opened = self.desk.session, self.desk.bench.current
        lesions = labels_on(read_labels(sample_lesion()), session.geometry).values
        lungs = labels_on(read_labels(sample_lung(), LUNGS), session.geometry).values
        for index in range(len(lesions)):
            session.propose(index, lesions[index], "Residual Attention U-Net on 64 slices", "sample")
            opened.lungs.write(index, lungs[index] > 0)
        self.desk.bench.lungs_found.emit(opened, 0)
        self.desk.viewer.dims.set_current_step(0, 40)
        self.live(0.4)

    def review(self, *indices: int) -> None:
        """Mark slices reviewed."""
        for index in indices:
            self.desk.session.mark_reviewed(index)
        self.live(0.1)

    def shoot(self, path: Path, *, whole: bool) -> None:
        """Take a picture of the whole window, or of the panel in it."""
        self.live(0.4)
        self.viewer.window.screenshot(str(path), canvas_only=False, flash=False)
        small(path, None if whole else self.panel_box())

    def panel_box(self) -> tuple[int, int, int, int]:
        """Return where the panel with its state line is in the window: left, top, right, bottom."""
        window = self.viewer.window._qt_window
        place = self.tabs.mapTo(window, self.tabs.rect().topLeft())
        return place.x(), place.y(), place.x() + self.tabs.width(), place.y() + self.tabs.height()

    def clear_notifications(self) -> None:
        """Take away what was said of one state before the next is shown."""
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for each in self.viewer.window._qt_window.findChildren(NapariQtNotification):
            each.close()

    def close(self) -> None:
        """End the window."""
        self.viewer.close()
        self.live(0.2)


def states(theme: str) -> Iterator[tuple[str, Callable[[Studio], None]]]:
    """Yield what each picture shows and how the window gets there, each from where the one before left it."""
    panels = ("Open", "Segment", "Review", "Learn", "Export")
    for panel in panels:
        yield f"{panel.lower()}_empty", lambda studio, panel=panel: _empty(studio, panel)
    if theme == "dark":
        yield "tour", lambda studio: (studio.tabs.show_panel("Open"), studio.tabs.tour._show())
    yield "open_error", _cannot_open
    yield "open_full", lambda studio: (studio.open_sample(), studio.tabs.show_panel("Open"))
    yield "open_worklist", _worklist
    yield "segment_busy", _segmenting
    yield "review_next", _led_on
    yield "segment_full", _segmented
    yield "segment_error", _all_reviewed
    yield "review_full", _reviewed
    yield "review_keys", lambda studio: studio.desk.furniture.cheat_sheet.toggle()
    yield "review_compare", _compared
    yield "review_views", _three_views
    yield "review_mediastinum", _mediastinum
    yield "learn_full", lambda studio: (_lung_window(studio), studio.tabs.show_panel("Learn"))
    yield "learn_busy", _learning
    yield "learn_verdict", _judged
    yield "learn_rest", _rest_again
    yield "export_full", _exported
    yield "export_error", _replace
    yield "review_odd", _looked_over
    yield "review_signed", lambda studio: (studio.desk.session.sign(), studio.tabs.show_panel("Review"))


def _empty(studio: Studio, panel: str) -> None:
    studio.tabs.panels["Export"].folder.value = Path("/home/reader/masks")  # whoever makes the pictures is not in them
    studio.tabs.show_panel(panel)


def _cannot_open(studio: Studio) -> None:
    studio.tabs.tour.hide()
    studio.tabs.show_panel("Open")
    run = studio.desk.bench.open(Path("/mnt/archive/patient_0042"))
    studio.wait(run)


def _segmenting(studio: Studio) -> None:
    studio.tabs.show_panel("Segment")
    studio.tabs.panels["Segment"].go.click()
    (run,) = studio.desk.bench.runner.runs
    while run.progress.done < 3 and not run.over:
        studio.live(0.1)
    studio.live(0.3)


def _led_on(studio: Studio) -> None:
    """Let the network draw on some slices more, and be led to the one that it is least sure of."""
    from napari_covseg.widgets import gestures

    (run,) = studio.desk.bench.runner.runs
    while run.progress.done < SLICES_LED_OVER and not run.over:
        studio.live(0.1)
    run.cancel()
    studio.wait(run)
    studio.desk.said.emit("")
    studio.tabs.show_panel("Review")
    gestures.next_suggestion(studio.desk)
    studio.live(0.3)


def _segmented(studio: Studio) -> None:
    for run in studio.desk.bench.runner.runs:
        run.cancel()
        studio.wait(run)
    studio.tabs.show_panel("Segment")
    studio.label()


def _all_reviewed(studio: Studio) -> None:
    panel = studio.tabs.panels["Segment"]
    studio.review(40)
    panel.choose_scope("range")
    panel.first.setValue(41)
    panel.last.setValue(41)
    panel.go.click()


def _reviewed(studio: Studio) -> None:
    from napari_covseg.widgets import gestures

    studio.desk.said.emit("")
    studio.tabs.show_panel("Review")
    studio.review(38, 39, 41)
    gestures.toggle_lungs(studio.desk)
    rows = studio.tabs.panels["Review"].lesions
    while not rows.model.lesions or not rows.watch.is_up_to_date:
        studio.live(0.1)


def _worklist(studio: Studio) -> None:
    """Show a morning's folder, some of it read."""
    from napari_covseg.io import sample_scan
    from napari_covseg.review.worklist import Worklist

    folder = studio.desk.bench.folder / "ward_3" / "monday"
    folder.mkdir(parents=True)
    paths = [folder / f"chest_{number:04}_ct.nii.gz" for number in (17, 21, 22, 30, 34, 41)]
    for path in paths:
        path.symlink_to(sample_scan())
    worklist = Worklist(folder)
    worklist.look()
    for path, reader, minutes in ((paths[0], "m.okafor", 11), (paths[1], "m.okafor", 8)):
        worklist.spend(path, 60 * minutes)
        worklist.sign(path, reader)
    worklist.reject(paths[2], "j.lindqvist", "cut at the base")
    worklist.take(paths[4], "j.lindqvist")
    worklist.close()
    rows = studio.tabs.panels["Open"].worklist
    rows.choose(folder)
    studio.wait(studio.desk.bench.runner.runs[0])
    rows.view.selectRow(3)


def _compared(studio: Studio) -> None:
    """Erase some of what the network proposed, paint some of another class, and compare."""
    from napari_covseg.widgets import gestures

    studio.desk.furniture.cheat_sheet.hide()
    lesions = gestures.lesions_of(studio.desk)
    lesions.brush_size = 26
    with lesions.block_history():
        for row in range(140, 165, 3):
            lesions.paint((40, row, 205), 0)
            lesions.paint((40, row - 30, 70), 1)
            lesions.paint((40, 155, row - 65), 1)
    studio.live(0.3)
    for _ in range(2):
        gestures.compare(studio.desk)
    studio.live(0.2)


def _three_views(studio: Studio) -> None:
    from napari_covseg.widgets import gestures

    gestures.compare(studio.desk)
    gestures.undo(studio.desk)
    studio.review(40)
    studio.desk.said.emit("")
    gestures.toggle_views(studio.desk)
    studio.desk.viewer.dims.current_step = (40, 170, 60)
    studio.live(0.6)


def _mediastinum(studio: Studio) -> None:
    from napari_covseg.widgets import gestures

    studio.desk.furniture.ortho.toggle()
    gestures.next_window(studio.desk)
    gestures.choose_class(studio.desk, "consolidation")


def _lung_window(studio: Studio) -> None:
    from napari_covseg.volume.presets import LUNG
    from napari_covseg.widgets import gestures

    gestures.show_window(studio.desk, LUNG)


def _learning(studio: Studio) -> None:
    """Show what the panel shows while it learns, without a training."""
    from napari_covseg.jobs import Enough, Progress

    def job() -> Iterator[Progress]:
        for step in range(1000):
            time.sleep(0.03)
            yield Progress(step, 120, "learning from 4 slices")

    panel = studio.tabs.panels["Learn"]
    run = panel._run = studio.desk.bench.runner.start(job(), "Learning from your corrections", Enough())
    panel.curve.clear()
    for step in range(40):
        panel.curve.append(step, 1.2 * np.exp(-step / 18) + 0.06 * np.sin(step))
    panel._show_state()
    while run.progress.done < 40:
        studio.live(0.05)


def _judged(studio: Studio) -> None:
    """Show what the panel asks after a training that made older cases worse, without a training."""
    from napari_covseg.networks import checkpoint
    from napari_covseg.training.comparison import Row
    from napari_covseg.training.gate import judged

    for run in studio.desk.bench.runner.runs:
        run.cancel()
        studio.wait(run)
    parent, panel = studio.desk.bench.choice.checkpoint, studio.tabs.panels["Learn"]
    learned = (Row("lesion", 0.71, 0.83, 14.2, 9.8, 4.0, 2.0, *(None,) * 2, 9000),)
    older = (Row("lesion", 0.80, 0.74, 21.0, 38.5, 9.0, 12.0, -0.09, -0.03, 9000),)
    figures = {"gate": judged(learned, older, (2, 12), 0.01).figures()}
    card = parent.card.model_copy(
        update={
            "parent_sha256": parent.sha256,
            "created_utc": "2026-03-02T09:41:00+00:00",
            "metrics": figures,
            "trained_on": "4 reviewed slices of 1 sessions",
        }
    )
    path = checkpoint.fresh_path(parent.card.network, datetime.now(), studio.desk.bench.folder)
    child = checkpoint.save(checkpoint.revived(parent), card, path)
    path.with_name("from_the_old_disk.safetensors").write_bytes(path.read_bytes()[:5000])  # damaged: Learn says so
    panel._parent = parent
    studio.desk.bench.learned.emit(child)
    panel.curve.hide()
    panel.verdict.use.click()


def _looked_over(studio: Studio) -> None:
    """Look for what is odd before signing: an effusion is painted where there is air."""
    from napari_covseg.widgets import gestures

    studio.tabs.show_panel("Review")
    lesions = gestures.lesions_of(studio.desk)
    lesions.brush_size = 12
    with lesions.block_history():
        lesions.paint((20, 120, 80), 3)
    studio.live(0.5)
    studio.tabs.panels["Review"].sign_button.click()
    studio.wait(studio.desk.bench.runner.runs[0])


def _rest_again(studio: Studio) -> None:
    """Show what a network that has learned changes on the rest of the scan, without a training."""
    from scipy import ndimage

    from napari_covseg.volume import Provenance

    bench, session = studio.desk.bench, studio.desk.session
    studio.tabs.panels["Learn"].verdict.clear()
    values = session.labels.values.copy()
    grown = ndimage.binary_dilation(values == 1, iterations=2) & (values == 0) & bench.current.lungs.mask(None)
    values[grown] = 1
    values[ndimage.binary_opening(values == 2, iterations=2) != (values == 2)] = 0
    slices = [index for index in range(len(values)) if index not in session.marks]
    taken = session.propose_rest(values, slices, "Residual Attention U-Net on the rest", Provenance("sample", "sample"))
    studio.desk.viewer.dims.set_current_step(0, 44)
    bench.segmented_rest.emit(taken)
    studio.live(0.3)


def _exported(studio: Studio) -> None:
    for run in studio.desk.bench.runner.runs:
        run.cancel()
        studio.wait(run)
    panel = studio.tabs.panels["Export"]
    studio.tabs.show_panel("Export")
    panel.folder.value = studio.desk.bench.folder / "masks"
    panel.go.click()
    studio.wait(studio.desk.bench.runner.runs[0])


def _replace(studio: Studio) -> None:
    studio.tabs.panels["Export"].go.click()


def small(path: Path, box: tuple[int, int, int, int] | None) -> None:
    """Write a picture again, or a part of it, in few colours."""
    from PIL import Image

    with Image.open(path) as picture:
        few = (
            picture.crop(box or (0, 0, *picture.size))
            .convert("RGB")
            .quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE)
        )
        few.save(path, optimize=True)


def main(arguments: list[str]) -> None:
    """Make them all, or those that are named."""
    out = Path(arguments[0]) if arguments else HERE
    wanted = set(arguments[1:])
    out.mkdir(parents=True, exist_ok=True)
    os.environ["LOGNAME"] = READER
    for theme in ("dark", "light"):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["COVSEG_HOME"] = folder
            studio = Studio(Path(folder), theme)
            for name, reach in states(theme):
                reach(studio)
                path = out / f"{name}_{theme}.png"
                if not wanted or path.stem in wanted or name in wanted:
                    studio.shoot(path, whole=name in WHOLE)
                    print(path)  # noqa: T201 - this module is a program
                studio.clear_notifications()
            studio.close()


if __name__ == "__main__":
    main(sys.argv[1:])
