"""The first run: five steps on the sample, each with one thing to do; it goes on when that is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_covseg.widgets.panel import allow, button
from napari_covseg.widgets.tour_steps import STEPS

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

WIDTH, MARGIN, GAP = 284, 14, 6
ABOVE_WINDOW = 24
"""Room for the window's level and width in the corner of the picture."""

WORDS_WIDTH = WIDTH - 2 * MARGIN - 2
STYLE = """
QFrame#tour { background: rgba(16, 18, 24, 240); border: 1px solid #5b6473; border-radius: 8px; }
QLabel { color: white; background: transparent; }
QLabel#step { color: #9ecbff; }
"""


class Tour(QFrame):  # type: ignore[misc]
    """A card beside the picture, over its corner where there is no room; it can be dragged elsewhere.

    Parameters
    ----------
    desk
        Whose window.
    show_panel
        Brings a panel to the front, by its title.
    in_sight
        What the card leaves in sight, where there is room for it elsewhere.
    """

    def __init__(self, desk: Desk, show_panel: Callable[[str], object], in_sight: QWidget) -> None:
        window = desk.viewer.window._qt_window
        super().__init__(window)
        self.desk, self.show_panel, self.in_sight, self.number = desk, show_panel, in_sight, 0
        self._held: QPoint | None = None
        self._was_moved = False
        self.setCursor(Qt.CursorShape.SizeAllCursor)
        self.setObjectName("tour")
        self.setStyleSheet(STYLE)
        self.setFixedWidth(WIDTH)
        self.step, self.title, self.words = QLabel(), QLabel(), QLabel()
        self.step.setObjectName("step")
        for piece in (self.title, self.words):
            piece.setWordWrap(True)
            piece.setFixedWidth(WORDS_WIDTH)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.act = button("", "Do it for me")
        self.next = button("Next", "Go on to the next step")
        self.leave = button("Don't show again", "End the tour for good")
        self._lay_out()
        self.act.clicked.connect(self._on_act)
        self.next.clicked.connect(self.go_on)
        self.leave.clicked.connect(self.end)
        for signal in (desk.opened, desk.labels_changed, desk.states_changed, desk.runs_changed):
            signal.connect(self._look)
        window.installEventFilter(self)
        desk.viewer.window._qt_viewer.canvas.native.installEventFilter(self)
        self.hide()

    def begin(self) -> None:
        """Start, unless it was taken before; a step that is done already is passed over."""
        if self.desk.bench.remembered.tour_taken:
            return
        self.number = 0
        self._show()
        self._look()

    def go_on(self) -> None:
        """Show the next step; after the last, end."""
        self.number += 1
        if self.number >= len(STEPS):
            self.end()
        else:
            self._show()

    def end(self) -> None:
        """Go away for good."""
        self.hide()
        self.desk.bench.remember(replace(self.desk.bench.remembered, tour_taken=True))

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Stay in place."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._settle()
        return False

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Take the card to drag it away from what it lies on."""
        self._held = event.position().toPoint() if event.button() == Qt.MouseButton.LeftButton else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Drag the card; it stays in the window."""
        if self._held is not None:
            self._was_moved = True
            self._move_to(self.mapToParent(event.position().toPoint() - self._held))

    def mouseReleaseEvent(self, _event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Let go of the card."""
        self._held = None

    def _lay_out(self) -> None:
        self.title.setStyleSheet("font-weight: bold; font-size: 14px;")
        rows, buttons = QVBoxLayout(self), QHBoxLayout()
        rows.setContentsMargins(MARGIN, 12, MARGIN, 12)
        for piece in (self.step, self.title, self.words):
            rows.addWidget(piece)
        rows.addWidget(self.act)
        for made in (self.leave, self.next):
            buttons.addWidget(made)
        for made in (self.act, self.leave, self.next):
            made.setCursor(Qt.CursorShape.ArrowCursor)
        rows.addLayout(buttons)

    def _show(self) -> None:
        now = STEPS[self.number]
        self.step.setText(f"Step {self.number + 1} of {len(STEPS)}")
        self.title.setText(now.title)
        waits_for = "" if now.is_done(self.desk) else now.waits_for
        self.words.setText(" ".join(filter(None, (now.words, waits_for))))
        self.act.setText(now.does)
        self.act.setVisible(bool(now.does))
        self.next.setText("Done" if self.number == len(STEPS) - 1 else "Next")
        allow(self.next, waits_for)
        self.show_panel(now.panel)
        self.show()
        self._settle()
        self.raise_()

    def _look(self) -> None:
        """Go on by itself when what was asked for is done."""
        if self.isVisible() and STEPS[self.number].is_done(self.desk):
            self.go_on()

    def _on_act(self) -> None:
        if act := STEPS[self.number].act:
            act(self.desk)

    def _settle(self) -> None:
        self.ensurePolished()
        for piece in (self.title, self.words):
            piece.ensurePolished()
            piece.setFixedHeight(piece.heightForWidth(WORDS_WIDTH))
        self.adjustSize()
        self._move_to(self.pos() if self._was_moved else self._place())

    def _place(self) -> QPoint:
        """Return the corner beside the picture, where there is room for the card, else that of the picture."""
        picture = self._in_window(self.desk.viewer.window._qt_viewer.canvas.native)
        beside = picture.left() - self.width() - GAP
        if beside < 0:
            return QPoint(picture.left() + MARGIN, picture.bottom() - self.height() - MARGIN - ABOVE_WINDOW)
        low = QPoint(beside, picture.bottom() - self.height() - GAP)
        covers = self.in_sight.isVisible() and self._in_window(self.in_sight).intersects(QRect(low, self.size()))
        return QPoint(beside, picture.top() + GAP) if covers else low

    def _in_window(self, piece: QWidget) -> QRect:
        return QRect(self.parentWidget().mapFromGlobal(piece.mapToGlobal(QPoint())), piece.size())

    def _move_to(self, place: QPoint) -> None:
        room = self.parentWidget().size() - self.size()
        self.move(max(0, min(place.x(), room.width())), max(0, min(place.y(), room.height())))
