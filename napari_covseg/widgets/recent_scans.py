"""The scans that were open last, to go on with one by a click."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from napari_covseg.io.remembered import Recent
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.panel import allow, button, stacked

MOST = 3
"""More would push the worklist out of a small window."""


class RecentScans(QWidget):  # type: ignore[misc]
    """A button for each; nothing at all where there is none.

    Parameters
    ----------
    desk
        What opens them.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.buttons: list[QPushButton] = []
        self.heading = QLabel("Recent scans")
        self.rows = stacked(self, self.heading, above=8, apart=3)
        desk.opened.connect(self._show)
        self._show_later = QTimer(self)  # the link takes notice of a layer that is gone after this does
        self._show_later.setSingleShot(True)
        self._show_later.timeout.connect(self._show)
        desk.viewer.layers.events.removed.connect(self._on_removed)
        self._show()

    def _on_removed(self) -> None:
        if self.desk.link.opened is not None:
            self._show_later.start()

    def _show(self) -> None:
        for old in self.buttons:
            self.rows.removeWidget(old)
            old.deleteLater()
        current = self.desk.link.opened  # None, and to be opened again, where its layers were taken away
        here = current.path.resolve() if current else None
        others = [each for each in self.desk.bench.remembered.recent if each.path != here]
        self.buttons = [self._button(each) for each in others[:MOST]]
        if self.parentWidget() or not self.buttons:  # shown without a parent it would be a window of its own
            self.setVisible(bool(self.buttons))

    def _button(self, scan: Recent) -> QPushButton:
        made = button(scan.name, f"Open {scan.path} again; its session goes on where you left it")
        made.setStyleSheet("QPushButton { text-align: left; padding: 4px 6px; }")
        made.clicked.connect(partial(self._on_click, scan))
        allow(made, "" if scan.path.exists() else f"{scan.path} is not there any more.")
        self.rows.addWidget(made)
        return made

    def _on_click(self, scan: Recent) -> None:
        self.desk.attempt(lambda: self.desk.bench.open(scan.path, scan.stated))
