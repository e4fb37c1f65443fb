"""The window with the keyboard alone: Return presses a button, and a ring shows which."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QObject, QRect, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QAbstractButton, QApplication, QFocusFrame, QWidget

from napari_covseg.widgets.theme import theme_of

RETURNS = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
RING_PX = 2


class _Returns(QObject):  # type: ignore[misc]
    """Presses a button on Return; a filter on the button itself, since text fields pass their Return on."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        if event.type() != QEvent.Type.KeyPress or event.key() not in RETURNS:
            return False
        if not event.isAutoRepeat():
            watched.click()
        return True


_RETURNS = _Returns()


def press_by_return(of: QAbstractButton) -> None:
    """Let Return and Enter press a button, as the space bar does."""
    of.installEventFilter(_RETURNS)


class FocusFollower(QObject):  # type: ignore[misc]
    """Puts a ring around what the keyboard works on; none around the picture, or what was only clicked.

    Parameters
    ----------
    viewer
        Whose window.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer.window._qt_window)
        self.viewer = viewer
        self.ring: _Ring | None = None
        QApplication.instance().focusChanged.connect(self._on_focus)

    def close(self) -> None:
        """Follow no more."""
        QApplication.instance().focusChanged.disconnect(self._on_focus)
        self._take_away()

    def _on_focus(self, _before: QWidget | None, now: QWidget | None) -> None:
        self._take_away()
        window = self.viewer.window
        if now is None or now.window() is not window._qt_window or now is window._qt_viewer.canvas.native:
            return
        if now.window().testAttribute(Qt.WidgetAttribute.WA_KeyboardFocusChange):
            self.ring = _Ring(theme_of(self.viewer).focus)
            self.ring.setWidget(now)

    def _take_away(self) -> None:
        ring, self.ring = self.ring, None
        if ring is None:
            return
        try:
            ring.setWidget(None)
            ring.deleteLater()
        except RuntimeError:  # it went with what it stood around
            return


class _Ring(QFocusFrame):  # type: ignore[misc]
    """Qt follows the widget; the ring is drawn here, since no style of Qt draws one that can be seen on dark grey."""

    def __init__(self, colour: Any) -> None:
        super().__init__()
        self.colour = colour

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw a rounded frame inside the edge."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self.colour, RING_PX))
        half = RING_PX // 2
        painter.drawRoundedRect(QRect(self.rect()).adjusted(half, half, -half, -half), 3, 3)
        painter.end()
