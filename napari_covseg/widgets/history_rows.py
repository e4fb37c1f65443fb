"""Undo and redo, with what they would undo."""

from __future__ import annotations

from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_covseg.widgets import gestures
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.panel import allow, button, words


class HistoryRows(QWidget):  # type: ignore[misc]
    """Two buttons and a line; never scrolled away, since what went wrong may have gone wrong anywhere.

    Parameters
    ----------
    desk
        Whose corrections.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.undo, self.redo = button("Undo", "Undo (Ctrl-Z)"), button("Redo", "Redo (Ctrl-Shift-Z)")
        self.told = words(faint=True)
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 2, 8, 0)
        grid.setSpacing(4)
        grid.addWidget(self.undo, 0, 0)
        grid.addWidget(self.redo, 0, 1)
        grid.addWidget(self.told, 1, 0, 1, 2)
        self.undo.clicked.connect(lambda: gestures.undo(self.desk))
        self.redo.clicked.connect(lambda: gestures.redo(self.desk))
        for signal in (desk.opened, desk.labels_changed, desk.states_changed):
            signal.connect(self._show)
        self._show()

    def _show(self) -> None:
        session = self.desk.session
        undo, redo = (session.undo_title, session.redo_title) if session else ("", "")
        refusal = session.refusal if session else ""
        _offer(self.undo, "Undo", undo, refusal, "Ctrl-Z")
        _offer(self.redo, "Redo", redo, refusal, "Ctrl-Shift-Z")
        self.told.setText(f"Undo takes back: {undo}" if undo else "Nothing to undo yet.")


def _offer(of: QPushButton, verb: str, title: str, refusal: str, key: str) -> None:
    of.setProperty("what", f"{verb}: {title} ({key})")
    allow(of, refusal or ("" if title else f"Nothing to {verb.lower()}."))
