"""Closing the window: the reader is asked once while something runs, and told what went wrong at the very end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_covseg.widgets.words import time_left

if TYPE_CHECKING:
    from napari_covseg.jobs import Run
    from napari_covseg.widgets.benches import Desk

STOP, STAY = "Stop and close", "Keep working"

log = logging.getLogger(__name__)


class Closing(QObject):  # type: ignore[misc]
    """Stands between the reader and the end of the window.

    napari asks in its own words when its keys or the cross close a window; while something of ours runs our question
    takes the place of that one. A script that closes the window is never asked, and told in the terminal.

    Parameters
    ----------
    desk
        Whose window.
    """

    def __init__(self, desk: Desk) -> None:
        window = desk.viewer.window._qt_window
        super().__init__(window)
        self.desk = desk
        self.window: Any = window
        self._close: Any = window.close
        self._is_by_hand = False
        window.close = self._on_key
        window.installEventFilter(self)

    def close(self) -> None:
        """Give napari its own way of closing back."""
        if self.window is not None:
            self.window.__dict__.pop("close", None)
            self.window.removeEventFilter(self)
        self.window = self._close = None

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Take the cross in the window's corner; let every other end come to pass, and end the bench with it."""
        window = self.window
        if event.type() != QEvent.Type.Close or self.desk.is_closed or window is None:
            return False
        if event.spontaneous() and self.desk.bench.runner.busy:
            event.ignore()
            if self._agreed():
                QTimer.singleShot(0, self._close)
            return True
        window.event(event)
        if event.isAccepted():
            window.hide()  # what still runs may need a moment to stop
            by_hand = self._is_by_hand or event.spontaneous()
            if told := self.desk.close():
                tell(told) if by_hand else log.warning(told)
        return True

    def _on_key(self, quit_app: bool = False, confirm_need: bool = False) -> Any:
        """Stand in for the window's own `close`, which napari calls for its keys and menus."""
        close = self._close
        self._is_by_hand = confirm_need
        if not confirm_need or not self.desk.bench.runner.busy:
            return close(quit_app=quit_app, confirm_need=confirm_need)
        return close(quit_app=quit_app) if self._agreed() else None

    def _agreed(self) -> bool:
        self._is_by_hand = True
        return ask(self.window, still_running(self.desk.bench.runner.runs))


def still_running(runs: tuple[Run[Any], ...]) -> str:
    """Return what is going on, for the question."""
    if not runs:
        return "Nothing runs any more."
    first = runs[0]
    done = f"{first.progress.done} of {first.progress.total}" if first.progress.done else ""
    details = ", ".join(filter(None, (done, time_left(first.seconds_left))))
    waiting = f"\nWaiting: {'; '.join(run.title for run in runs[1:])}." if len(runs) > 1 else ""
    return f"{first.title} is not done yet" + (f" ({details})." if details else ".") + waiting


def tell(what: str) -> None:
    """Tell what went wrong while the window closed; the reader reads it when she is ready."""
    box = QMessageBox(QMessageBox.Icon.Warning, "CovSeg", what)
    box.exec()


def ask(parent: QWidget, what: str) -> bool:
    """Ask whether to stop it and close."""
    box = QMessageBox(parent)
    box.setWindowTitle("Close CovSeg?")
    box.setTextFormat(Qt.TextFormat.PlainText)  # what a file is called is no markup
    box.setText(what)
    box.setInformativeText("What is finished is saved; the rest can be run again.")
    stop = box.addButton(STOP, QMessageBox.ButtonRole.AcceptRole)
    stay = box.addButton(STAY, QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec()
    return bool(box.clickedButton() is stop)
