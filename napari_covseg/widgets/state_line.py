"""The state line: what runs, how far it is, when it was saved, and what was said last."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QProgressBar

from napari_covseg.review import Correction
from napari_covseg.review.history import NETWORK_TOOL
from napari_covseg.widgets.benches import STATE_LINE
from napari_covseg.widgets.panel import Panel, button, words
from napari_covseg.widgets.words import how_far, kept_line, saved_line

COMPLAINT = "QLabel { color: white; background: #9a3412; padding: 5px 7px; border-radius: 4px; }"


class StateLine(Panel):
    """Stands below the tabs; what was said there ends with the next thing that the reader does."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.setObjectName(STATE_LINE)
        self._unsaved = False
        self.running, self.saved, self.message = words(), words("No scan is open."), words()
        for line in (self.running, self.saved, self.message):
            line.setTextFormat(Qt.TextFormat.PlainText)  # what a reader typed, or a file is called, is no markup
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
        self.desk.acted.connect(self._forget)
        self.desk.labels_changed.connect(self._on_labels)
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
        self.running.setText(" · ".join(part for part in (run.title + waiting, how_far(run)) if part))
        self.bar.setMaximum(run.progress.total)
        self.bar.setValue(run.progress.done)

    def _on_saved(self) -> None:
        session = self.desk.session
        if self._unsaved and session is not None and not session.unsaved:
            self._forget()  # what could not be saved then is past
        self.saved.setText(saved_line(session))
        self.saved.setToolTip(kept_line(session.folder if session else None))
        self._show_saved()

    def _show_saved(self) -> None:
        """Say how the session stands, unless the complaint above says just that, and what to do."""
        session, said = self.desk.session, self.message.text()
        self.saved.setHidden(session is not None and session.is_read_only and session.refusal in said)

    def _on_opened(self) -> None:
        self._forget()  # it spoke of the scan before
        self._on_saved()

    def _on_labels(self, correction: Correction) -> None:
        if correction.tool != NETWORK_TOOL:
            self._forget()  # what stood here was said before the reader's stroke

    def _forget(self) -> None:
        """Say nothing any more of what the reader did before."""
        self._on_said("")

    def _on_said(self, message: str) -> None:
        self._unsaved = False
        self.message.setStyleSheet("")
        self.message.setText(message)
        self._show_saved()

    def _on_complained(self, message: str) -> None:
        self._unsaved = self.desk.session is not None and message == self.desk.session.unsaved
        self.message.setStyleSheet(COMPLAINT)
        self.message.setText(f"⚠ {message}")
        self._show_saved()
