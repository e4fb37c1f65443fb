"""Undo and redo, with what they would undo, and the log of all that was done."""

from __future__ import annotations

from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_covseg.widgets import gestures
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.log_window import LogWindow
from napari_covseg.widgets.panel import NOTHING_OPEN, allow, button, words

MARGIN = 8
LOG_TOLD = "Who changed what in this session and when, the newest first; verified, and to be exported"


class HistoryRows(QWidget):  # type: ignore[misc]
    """Three buttons and a line; never scrolled away, since what went wrong may have gone wrong anywhere.

    Parameters
    ----------
    desk
        Whose corrections.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.undo, self.redo = button("Undo", "Undo (Ctrl-Z)"), button("Redo", "Redo (Ctrl-Shift-Z)")
        self.log_button = button("Log", LOG_TOLD)
        self.log: LogWindow | None = None
        self.told = words(faint=True)
        grid = QGridLayout(self)
        grid.setContentsMargins(MARGIN, 2, MARGIN, 0)
        grid.setSpacing(4)
        grid.addWidget(self.undo, 0, 0)
        grid.addWidget(self.redo, 0, 1)
        grid.addWidget(self.log_button, 0, 2)
        grid.addWidget(self.told, 1, 0, 1, 3)
        grid.setColumnStretch(0, 2)
        grid.setColumnStretch(1, 2)
        grid.setColumnStretch(2, 1)
        self.undo.clicked.connect(lambda: gestures.undo(self.desk))
        self.redo.clicked.connect(lambda: gestures.redo(self.desk))
        self.log_button.clicked.connect(self.show_log)
        for signal in (desk.opened, desk.labels_changed, desk.states_changed):
            signal.connect(self._show)
        self._show()

    def show_log(self) -> None:
        """Show the log as it stands, beside the picture."""
        self.log = self.log or LogWindow(self.desk)
        self.log.show()
        self.log.raise_()
        self.log.read()

    def _show(self) -> None:
        session = self.desk.session
        undo, redo = (session.undo_title, session.redo_title) if session else ("", "")
        refusal, end = (session.refusal, session.undo_end) if session else ("", "")
        allow(self.log_button, "" if session else NOTHING_OPEN)
        _offer(self.undo, "Undo", undo, refusal or end, "Ctrl-Z")
        _offer(self.redo, "Redo", redo, refusal, "Ctrl-Shift-Z")
        self.told.setText(f"Undo: {undo}" if undo else end or "Nothing to undo yet.")


def _offer(of: QPushButton, verb: str, title: str, refusal: str, key: str) -> None:
    of.setProperty("what", f"{verb}: {title} ({key})")
    allow(of, refusal or ("" if title else f"Nothing to {verb.lower()}."))
