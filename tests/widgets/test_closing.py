from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_covseg.jobs import Progress
from napari_covseg.review import ReviewSession
from napari_covseg.widgets import closing
from napari_covseg.workbench import SegmentRequest


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What was asked, and what the reader answers."""

    class Asked(list):  # type: ignore[type-arg]
        answer = True

        def ask(self, parent: Any, what: str) -> bool:
            self.append(what)
            return self.answer

    questions = Asked()
    monkeypatch.setattr(closing, "ask", questions.ask)
    return questions


@pytest.fixture
def running(at_work: Any, quick_network: Any, trained: Any) -> Any:
    quick_network(0.2)
    at_work.run = at_work.bench.segment(SegmentRequest(trained))
    at_work.until(lambda: at_work.run.progress.done >= 2)
    return at_work


class FromOutside(QCloseEvent):
    """A close as the window manager sends it; there is none under Xvfb."""

    def spontaneous(self) -> bool:
        return True


def cross(driver: Any) -> None:
    """Press the cross in the window's corner."""
    QApplication.sendEvent(driver.viewer.window._qt_window, FromOutside())
    driver.live(0.3)


def leave(driver: Any) -> None:
    """Spare napari's fixture a second closing of a window that the reader closed."""
    del driver.viewer.window._qt_window


def is_open(driver: Any) -> bool:
    return not driver.desk.is_closed


def test_the_cross_asks_once_and_stays_if_the_reader_wants_to(running: Any, asked: Any) -> None:
    asked.answer = False
    cross(running)
    assert len(asked) == 1
    assert asked[0].startswith("Segmenting with ")
    assert " of 12" in asked[0]
    assert "left" in asked[0]
    assert is_open(running)
    assert running.viewer.window._qt_window.isVisible()
    assert not running.run.is_cancelling
    running.until(lambda: running.run.over)
    assert (running.session.labels.values[:, 25, 15] == 1).all()


def test_the_cross_asks_once_saves_and_ends(running: Any, asked: Any) -> None:
    folder = running.session.folder
    cross(running)
    running.until(lambda: running.desk.is_closed)
    leave(running)
    assert len(asked) == 1
    session = ReviewSession.resume(folder, "tester")  # the journal is free again
    assert 2 <= np.count_nonzero(session.labels.values.any(axis=(1, 2))) < 12
    session.close()


@pytest.mark.parametrize("napari_asks_too", [True, False])
def test_a_key_of_napari_asks_once_in_our_words(running: Any, asked: Any, napari_asks_too: bool) -> None:
    get_settings().application.confirm_close_window = napari_asks_too
    asked.answer = False
    running.viewer.window._qt_window.close(quit_app=False, confirm_need=True)
    assert len(asked) == 1
    assert is_open(running)
    asked.answer = True
    running.viewer.window._qt_window.close(quit_app=False, confirm_need=True)
    leave(running)
    assert len(asked) == 2
    assert not is_open(running)


def test_nothing_is_asked_while_nothing_runs_or_when_a_script_closes(running: Any, asked: Any) -> None:
    running.viewer.close()
    assert asked == []
    assert not is_open(running)


def test_what_goes_wrong_at_the_very_end_is_told_in_a_box(at_work: Any) -> None:
    from qtpy.QtCore import QTimer

    seen: list[str] = []

    def read() -> None:
        for box in QApplication.topLevelWidgets():
            if isinstance(box, QMessageBox) and box.isVisible():
                seen.append(box.text())
                box.accept()

    looking = QTimer(interval=100)
    looking.timeout.connect(read)
    looking.start()
    get_settings().application.confirm_close_window = False
    folder, values = at_work.session.folder, at_work.session.labels.values.copy()
    shutil.rmtree(folder)
    cross(at_work)
    looking.stop()
    leave(at_work)
    assert len(seen) == 1
    assert "were deleted while it was open; everything" in seen[0]
    session = ReviewSession.resume(folder, "tester")
    assert np.array_equal(session.labels.values, values)
    session.close()


def test_a_script_is_told_where_it_reads(at_work: Any, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(at_work.session.folder)
    at_work.viewer.close()
    assert [each.message for each in caplog.records if "were deleted while it was open" in each.message]


def test_a_stroke_that_was_not_settled_yet_is_saved(at_work: Any) -> None:
    folder = at_work.session.folder
    at_work.lesions.data[3, 4, 4] = 2
    at_work.viewer.close()
    session = ReviewSession.resume(folder, "tester")
    assert session.labels.values[3, 4, 4] == 2
    session.close()


def test_the_question_itself(at_work: Any) -> None:
    from qtpy.QtCore import QTimer

    seen: list[Any] = []

    def answer(button: str) -> None:
        (box,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox) and w.isVisible()]
        seen.append((box.text(), box.defaultButton().text()))
        next(b for b in box.buttons() if b.text() == button).click()

    for button, expected in ((closing.STAY, False), (closing.STOP, True)):
        QTimer.singleShot(100, lambda button=button: answer(button))
        assert closing.ask(at_work.viewer.window._qt_window, "Learning is not done yet.") is expected
    assert seen == [("Learning is not done yet.", closing.STAY)] * 2


def test_what_still_runs_is_told() -> None:
    from napari_covseg.jobs import Run

    first, second = Run(iter(()), "Segmenting"), Run(iter(()), "Exporting")  # type: ignore[arg-type]
    assert closing.still_running((first,)) == "Segmenting is not done yet."
    first.progress, first.started_at = Progress(40, 120), time.monotonic() - 20
    assert (
        closing.still_running((first, second))
        == "Segmenting is not done yet (40 of 120, 40 s left).\nWaiting: Exporting."
    )


def test_no_process_is_left_behind(tmp_path: Path, scan_path: Path) -> None:
    code = f"""
import threading, time
from pathlib import Path
import napari
from napari_covseg.jobs import Progress
from napari_covseg.widgets import closing
from napari_covseg.widgets.benches import desk_of
from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication

class FromOutside(QCloseEvent):
    def spontaneous(self):
        return True

def long():
    for step in range(10_000):
        time.sleep(0.05)
        yield Progress(step, 10_000)

closing.ask = lambda parent, what: True
viewer = napari.Viewer(show=True)
desk = desk_of(viewer)
desk.bench.open(Path({str(scan_path)!r}))
desk.bench.runner.start(long(), "Segmenting")
QTimer.singleShot(1500, lambda: QApplication.sendEvent(viewer.window._qt_window, FromOutside()))
napari.run()
print("closed", [t.name for t in threading.enumerate() if t.name == "covseg-compute"])
"""
    environment = {**os.environ, "COVSEG_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("closed []")
