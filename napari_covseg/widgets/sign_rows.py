"""Sign, after a look at what is odd about the label map; and open a signed session again. Warnings, never a wall."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget

from napari_covseg.io.sentences import count
from napari_covseg.measure.findings import Finding
from napari_covseg.widgets import gestures
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.finding_tree import FindingTree
from napari_covseg.widgets.panel import NOTHING_OPEN, allow, button, stacked, words

SIGN, SIGN_AGAIN, REOPEN = "Sign", "Press again to sign", "Open again"
SIGN_WAITS_MS = 30_000
SIGN_TOLD = "Sign: close the session; what is odd about it is told first, and it can still be exported"
REOPEN_TOLD = "Go on with this session as a new version; the signature stays in the log"
NOT_YET = "Review at least one slice first."
REOPENED = "Opened again as a new version; the signature stays in the log. Sign again when you are done."


class SignRows(QWidget):  # type: ignore[misc]
    """What was found, each with a click to go there; the button itself stands where the panel puts it.

    Parameters
    ----------
    desk
        Whose session.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.button = button(SIGN, SIGN_TOLD)
        self.heading = words()
        self.found = FindingTree()
        stacked(self, self.heading, self.found, apart=2)
        self._armed = QTimer(self)
        self._armed.setSingleShot(True)
        self._armed.setInterval(SIGN_WAITS_MS)
        self._armed.timeout.connect(self.show_state)
        self.button.clicked.connect(self._on_click)
        self.button.installEventFilter(self)
        self.found.pointed_at.connect(self._on_pointed_at)
        desk.opened.connect(self._forget)
        desk.labels_changed.connect(self._forget)
        desk.states_changed.connect(self._forget)

    def show_state(self) -> None:
        """Show what the button does now, and why not."""
        session = self.desk.session
        if session is not None and session.signature is not None:
            self.button.setText(REOPEN)
            self.button.setProperty("what", REOPEN_TOLD)
            allow(self.button, session.refusal if session.is_read_only else "")
            return
        self.button.setText(SIGN_AGAIN if self._armed.isActive() else SIGN)
        self.button.setProperty("what", SIGN_TOLD)
        allow(self.button, NOTHING_OPEN if session is None else session.refusal or ("" if session.marks else NOT_YET))

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Take a double-click for one click: nobody signs, or opens again, what she had no time to look at."""
        return event is not None and event.type() == QEvent.Type.MouseButtonDblClick

    def _on_click(self) -> None:
        session = self.desk.session
        if session is None:
            return
        if session.signature is not None:
            self.desk.attempt(session.reopen)
            if session.signature is None:
                self.desk.bench.said.emit(REOPENED)
        elif self._armed.isActive():
            self.desk.attempt(session.sign)
        else:
            self._armed.start()
            self.show_state()
            self._look_over(session)

    def _look_over(self, session: Any) -> None:
        """Look for what is odd; where a network runs that takes its turn, and the reader may sign before."""
        run = self.desk.attempt(self.desk.bench.check)
        if run is not None:
            self.heading.setText(f"{_not_reviewed(session)}Looking for what may be odd…")
            run.finished.connect(lambda found: self._show(found, session))

    def _show(self, found: tuple[Finding, ...], session: Any) -> None:
        if self.desk.session is None or session is not self.desk.session or session.signature is not None:
            return
        odd = "<b>Look at this before you sign.</b>" if found else "Nothing odd was found."
        self.heading.setText(_not_reviewed(self.desk.session) + odd)
        self.found.show_findings(found)
        self._wait_on()

    def _wait_on(self) -> None:
        """Let the reader look at what was found in peace: the time in which she may sign begins anew."""
        self._armed.start()
        self.show_state()

    def _on_pointed_at(self, finding: Finding) -> None:
        gestures.point_at(self.desk, finding.place)
        self.desk.bench.said.emit(finding.sentence)
        self._wait_on()

    def _forget(self) -> None:
        self._armed.stop()
        self.found.show_findings(())
        self.heading.setText("")
        self.show_state()


def _not_reviewed(session: Any) -> str:
    """Return a warning of the slices that nobody reviewed; empty where there are none."""
    depth = session.geometry.shape[0]
    left = depth - len(session.marks)
    if not left:
        return ""
    are = "is" if left == 1 else "are"
    return f"<b>⚠ {count(left, 'slice')} of {depth} {are} not reviewed;</b> you sign for what is drawn there, too.<br>"
