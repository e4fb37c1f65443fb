"""Every key and what it does, on ``?``; it lies over the picture and goes away by itself when it was read."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_covseg.widgets.keys import Key

NAPARI_KEYS = (
    ("P", "Paint"),
    ("E", "Erase"),
    ("Z", "Move the picture"),
    ("←  →", "Slice above, below; hold to run"),
    ("[  ]", "Brush smaller, larger"),
    ("Space", "Move the picture while held"),
)
MOUSE = (
    ("Wheel", "Next slice"),
    ("Ctrl + wheel", "Zoom"),
    ("Drag", "Move the picture, paint or erase"),
    ("Right-drag", "Window: sideways width, up and down level"),
    ("Double click", "Zoom in (Alt: out)"),
)
STYLE = """
QFrame#sheet { background: rgba(16, 18, 24, 250); border: 1px solid #5b6473; border-radius: 8px; }
QLabel { color: white; background: transparent; }
QLabel#key { font-weight: bold; color: #9ecbff; }
QLabel#heading { font-weight: bold; }
"""
MOST_ROWS = 18
READABLE = {",": ",  (comma)", ".": ".  (full stop)"}


class CheatSheet(QFrame):  # type: ignore[misc]
    """All keys, in columns.

    Parameters
    ----------
    window, canvas
        Over which window, and its picture: there are keys pressed on both.
    keys
        What is bound.
    """

    def __init__(self, window: QWidget, canvas: QWidget, keys: Sequence[Key]) -> None:
        super().__init__(window)
        self.setObjectName("sheet")
        self.setStyleSheet(STYLE)
        told = [(READABLE.get(key.key, key.key), key.title) for key in keys]
        self.lines = (*told, *NAPARI_KEYS, *MOUSE, ("?", "This list"))
        grid = QGridLayout(self)
        grid.setContentsMargins(24, 18, 24, 18)
        grid.setHorizontalSpacing(14)
        grid.addWidget(_label("Keys and mouse", "heading"), 0, 0, 1, 2)
        rows = ceil(len(self.lines) / ceil(len(self.lines) / MOST_ROWS))
        for number, (key, title) in enumerate(self.lines):
            row, column = number % rows + 1, 3 * (number // rows)
            grid.addWidget(_label(key, "key"), row, column)
            grid.addWidget(_label(title, "title"), row, column + 1)
            grid.setColumnMinimumWidth(column + 2, 18)
        self.hide()
        window.installEventFilter(self)
        canvas.installEventFilter(self)
        for key in ("?", "Shift+?"):  # the one or the other, as keyboards have it; text fields take it first
            QShortcut(QKeySequence(key), window, self.toggle)

    def toggle(self) -> None:
        """Show the list, or put it away."""
        if self.isVisible():
            self.hide()
            return
        self.adjustSize()
        self._settle()
        self.show()
        self.raise_()

    def mousePressEvent(self, _event: object) -> None:  # noqa: N802 - Qt's name
        """Go away when clicked."""
        self.hide()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Stay in the middle, go on Escape."""
        if event.type() == QEvent.Type.Resize:
            self._settle()
        elif event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape and self.isVisible():
            self.hide()
            return True
        return False

    def _settle(self) -> None:
        around = self.parentWidget().size()
        self.move((around.width() - self.width()) // 2, (around.height() - self.height()) // 2)


def _label(text: str, name: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName(name)
    return label
