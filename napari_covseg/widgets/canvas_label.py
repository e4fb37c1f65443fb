"""Words on the picture that stay at its edge while it is panned, zoomed and resized."""

from __future__ import annotations

from typing import Literal

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QLabel, QWidget

Place = Literal["left", "right", "top", "bottom", "top_left", "top_right", "bottom_left", "middle", "below_top"]
MARGIN = 6
BELOW = 38
"""Under the letter at the top."""
STYLE = "QLabel { color: white; background: rgba(0, 0, 0, 110); padding: 1px 5px; border-radius: 3px; }"


class CanvasLabel(QLabel):  # type: ignore[misc]
    """A label on a picture; the mouse goes through it.

    Parameters
    ----------
    native
        The widget that the picture is drawn on.
    place
        At which edge or corner.
    """

    def __init__(self, native: QWidget, place: Place) -> None:
        super().__init__(native)
        self.place = place
        self.setStyleSheet(STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        native.installEventFilter(self)
        if "right" in place:
            self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.hide()

    def say(self, text: str) -> None:
        """Show a text; nothing is shown without."""
        if text != self.text():
            self.setText(text)
            self._settle()
        self.setVisible(bool(text))

    def showEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Take the size that the words have in the window's own font."""
        super().showEvent(event)
        self._settle()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Stay in place when the picture is resized."""
        if event.type() == QEvent.Type.Resize:
            self._settle()
        return False

    def _settle(self) -> None:
        self.ensurePolished()
        self._fit_within(self.parentWidget().width() - 2 * MARGIN)
        around, own = self.parentWidget().size(), self.size()
        right, bottom = around.width() - own.width(), around.height() - own.height()
        x = MARGIN if "left" in self.place else right - MARGIN if "right" in self.place else right // 2
        y = (
            BELOW
            if self.place == "below_top"
            else MARGIN
            if "top" in self.place
            else bottom - MARGIN
            if "bottom" in self.place
            else bottom // 2
        )
        self.move(x, y)

    def _fit_within(self, width_px: int) -> None:
        """Take the room that the words need; lines that are wider than the picture are wrapped."""
        self.setWordWrap(False)
        self.adjustSize()
        if self.width() > width_px > 0:
            self.setWordWrap(True)
            self.resize(width_px, self.heightForWidth(width_px))
