"""The state line: what runs, how far it is, when it was saved, and what was said last."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer
from qtpy.QtWidgets import QProgressBar

from napari_covseg.jobs import Run
from napari_covseg.widgets.benches import STATE_LINE
from napari_covseg.widgets.panel import Panel, button, words
from napari_covseg.widgets.words import clock, time_left

COMPLAINT = "QLabel { color: white; background: #9a3412; padding: 5px 7px; border-radius: 4px; }"


class StateLine(Panel):
    """Stands below the tabs."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.setObjectName(STATE_LINE)
        self._unsaved = False
        self.running, self.saved, self.message = words(), words("No scan is open."), words()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.rows.setContentsMargins(8, 2, 8, 6)
        self.rows.setSpacing(2)
        self.stop = button("Stop  (Esc)", "Stop the tool that is at work; nothing is changed then (Esc on the picture)")
        self.stop.clicked.connect(lambda: self.desk.tools.give_up())
        self.add(self.running, self.bar, self.stop, self.message, self.saved)
        self.desk.ticked.connect(self._on_tick)
        self.desk.runs_changed.connect(self._on_tick)
        self.desk.opened.connect(self._on_opened)
        self.desk.labels_changed.connect(self._on_saved)
        self.desk.states_changed.connect(self._on_saved)
        self.desk.said.connect(self._on_said)
        self.desk.complained.connect(self._on_complained)
        self._on_tick()
        self._on_saved()

    def _on_tick(self) -> None:
        runs = (*self.bench.tool_runner.runs, *self.bench.runner.runs)
        self.running.setVisible(bool(runs))
        self.bar.setVisible(bool(runs))
        tools = self.bench.tool_runner.runs
        self.stop.setVisible(bool(tools) and tools[0].seems_long)
        if not runs:
            return
        run = runs[0]
        waiting = f" (+{len(runs) - 1} waiting)" if len(runs) > 1 else ""
        parts = (run.title + waiting, _how_far(run), "paused" if run.is_paused else time_left(run.seconds_left))
        self.running.setText(" · ".join(part for part in parts if part))
        self.bar.setMaximum(run.progress.total)
        self.bar.setValue(run.progress.done)

    def _on_saved(self) -> None:
        session = self.desk.session
        if self._unsaved and session is not None and not session.unsaved:
            self._on_said("")  # what could not be saved then is past
        if session is None:
            self.saved.setText("No scan is open.")
        elif session.is_read_only:
            is_own = session.begun_by in ("", session.reader)
            whose = "To" if is_own else f"The reading of {session.begun_by}, to"
            self.saved.setText(f"{whose} be looked at only; nothing is saved.")
        elif session.signature is not None:
            self.saved.setText(f"Signed by {session.signature.reader} {clock(session.signature.time_utc)} ✓")
        else:
            self.saved.setText(f"Saved {clock(session.saved_at)} ✓" if session.saved_at else "Nothing to save yet.")

    def _on_opened(self) -> None:
        self._on_said("")  # it spoke of the scan before
        self._on_saved()

    def _on_said(self, message: str) -> None:
        self._unsaved = False
        self.message.setStyleSheet("")
        self.message.setText(message)

    def _on_complained(self, message: str) -> None:
        self._unsaved = self.desk.session is not None and message == self.desk.session.unsaved
        self.message.setStyleSheet(COMPLAINT)
        self.message.setText(f"⚠ {message}")


def _how_far(run: Run[Any]) -> str:
    """Return how many of how many are done, or what is done where there is nothing to count."""
    progress = run.progress
    if progress.done and progress.total > 1:
        return f"{progress.done} of {progress.total}"
    return progress.doing if progress.doing != run.title else ""
