"""The rest of the scan again, with a network that has learned from it: what nobody reviewed or corrected."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget

from napari_covseg.io.sentences import count
from napari_covseg.jobs import Run
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.panel import NOTHING_OPEN, allow, button, rename, stacked, words
from napari_covseg.widgets.words import time_left, waits_for

AGAIN, STOP = "Re-segment the rest of this scan", "Stop; leave all as it is"
AGAIN_TOLD = (
    "With the network in use, which learned from this scan. What you reviewed or corrected is never written on; "
    "undo takes all of it back"
)
STOP_TOLD = "End it after this slice; nothing is changed then"
NOTHING_LEFT = "Every slice is reviewed or corrected by you; nothing is left to segment again."


class RestRow(QWidget):  # type: ignore[misc]
    """A button and how far it is; there only while the network in use learned from the scan that is open.

    Parameters
    ----------
    desk
        Whose scan and networks.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._run: Run[Any] | None = None
        self._of = ""
        self.go = button(AGAIN, AGAIN_TOLD)
        self.why, self.progress = words(faint=True), words()
        stacked(self, self.go, self.why, self.progress, above=4)
        self.go.clicked.connect(self._on_go)
        for signal in (desk.opened, desk.chose, desk.states_changed, desk.labels_changed, desk.runs_changed):
            signal.connect(self.show_state)
        desk.ticked.connect(self._show_progress)
        self.show_state()

    @property
    def is_running(self) -> bool:
        """Whether the rest is being segmented."""
        return self._run is not None and not self._run.over

    def show_state(self) -> None:
        """Offer it, or say why not."""
        session, trained = self.desk.session, self.desk.bench.choice.checkpoint
        has_learned = session is not None and trained is not None and session.scan_sha256 in trained.card.scans_sha256
        self.setVisible(has_learned or self.is_running)
        if has_learned or self.is_running:
            rename(self.go, *((STOP, STOP_TOLD) if self.is_running else (AGAIN, AGAIN_TOLD)))
            allow(self.go, self._reason_not(), self.why)
            self._show_progress()

    def _reason_not(self) -> str:
        if self.is_running and self._run is not None:
            return "It stops after this slice." if self._run.is_cancelling else ""
        session = self.desk.session
        if session is None:
            return NOTHING_OPEN
        is_all_theirs = len(session.touched | session.marks.keys()) == session.geometry.shape[0]
        return str(session.refusal) or (NOTHING_LEFT if is_all_theirs else "")

    def _on_go(self) -> None:
        if self.is_running and self._run is not None:
            self._run.cancel()
        else:
            self._run = self.desk.attempt(self._begun)
            self._of = self.desk.session.scan_sha256 if self.desk.session else ""
        self.show_state()

    def _begun(self) -> Run[Any] | None:
        trained = self.desk.bench.choice.at_hand()
        return self.desk.bench.learning.segment_rest(trained) if trained else None

    def _show_progress(self) -> None:
        self.progress.setVisible(self.is_running)
        if self.is_running and self._run is not None:
            done, total = self._run.progress.done, self._run.progress.total
            going_on = f"{done} of {count(total, 'slice')}" if done else "waking the network"
            said = waits_for(self._run, self.desk.bench.runner) or going_on
            is_of_another = self.desk.session is None or self.desk.session.scan_sha256 != self._of
            whose = self._run.title if is_of_another else ""
            self.progress.setText(" · ".join(filter(None, (whose, said, time_left(self._run.seconds_left)))))
