"""Learn: teach the network the reviewed slices, watch it, and keep what came of it or not."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_covseg.jobs import Run
from napari_covseg.networks import Checkpoint
from napari_covseg.networks.registry import listing
from napari_covseg.widgets.loss_curve import LossCurve
from napari_covseg.widgets.panel import NOTHING_OPEN, Panel, allow, button, words
from napari_covseg.widgets.words import before_and_after, count, time_left, verdict
from napari_covseg.workbench import checkpoint_title

NO_SLICE = "Mark at least one slice reviewed (R); only reviewed slices are learned."


class LearnPanel(Panel):
    """One button, a live curve, and the verdict."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._run: Run[Any] | None = None
        self._parent: Checkpoint | None = None
        self._child: Checkpoint | None = None
        self.steps: int | None = None
        self.ready, self.why, self.progress, self.result = words(), words(faint=True), words(), words()
        self.go = button("Learn", "Teach a copy of the network your reviewed slices; takes a minute or so", big=True)
        self.curve = LossCurve()
        self.curve.hide()
        self.add(self.ready, self.go, self.why, self.progress, self.curve, self.result, self._verdict_buttons())
        self.rows.addStretch()
        self.go.clicked.connect(self._on_go)
        for signal in (self.desk.opened, self.desk.states_changed, self.desk.chose, self.desk.runs_changed):
            signal.connect(self._show_state)
        self.desk.ticked.connect(self._show_progress)
        self.desk.learned.connect(self._on_learned)
        self._show_state()

    def _verdict_buttons(self) -> QWidget:
        self.choice = QWidget()
        row = QHBoxLayout(self.choice)
        row.setContentsMargins(0, 0, 0, 0)
        self.use = button("Use it", "Segment with what was just learned")
        self.keep = button("Keep the old one", "Segment as before; the new one stays in the list under More")
        self.use.clicked.connect(self._on_use)
        self.keep.clicked.connect(self._on_keep)
        row.addWidget(self.use)
        row.addWidget(self.keep)
        self.choice.hide()
        return self.choice

    def _on_go(self) -> None:
        if self._run is not None and not self._run.over:
            self._run.cancel()
        elif trained := self.bench.chosen:
            self._parent = trained
            self._run = self.desk.attempt(lambda: self.bench.finetune(trained, steps=self.steps))
            if self._run is not None:
                self._run.stepped.connect(self._on_step)
                self.curve.clear()
                self.curve.show()
                self.choice.hide()
                self.result.clear()
        self._show_state()

    def _on_step(self, step: object) -> None:
        from napari_covseg.training.loop import StepDone  # it needs torch, which by now is there

        if isinstance(step, StepDone):
            self.curve.append(step.step, step.loss)

    def _on_learned(self, child: Checkpoint) -> None:
        if self._parent is None or child.card.parent_sha256 != self._parent.sha256:
            return
        self._child = child
        lines = (f"<b>{verdict(child.card.metrics)}</b>", "Dice on the learned slices:")
        self.result.setText("<br>".join((*lines, *before_and_after(child.card.metrics))))
        self.choice.show()

    def _on_use(self) -> None:
        self._decide(self._child, "from now on Segment uses what was just learned")

    def _on_keep(self) -> None:
        self._decide(self._parent, "Segment goes on with the old one")

    def _decide(self, trained: Checkpoint | None, words_: str) -> None:
        if trained is not None:
            self.bench.choose(trained.card.network, trained)
            self.bench.said.emit(f"Done: {words_}.")
            self.choice.hide()

    def _show_state(self) -> None:
        session, running = self.desk.session, self._run is not None and not self._run.over
        stopping = running and self._run is not None and self._run.is_cancelling
        self.go.setText("Stopping…" if stopping else "Stop" if running else "Learn")
        if session is None:
            reason = NOTHING_OPEN
        elif self.bench.chosen is None:
            reason = f"No trained weights of {listing(self.bench.network).title} are here yet."
        else:
            reason = "" if session.marks else NO_SLICE
        self.ready.setText(self._ready())
        allow(self.go, "It stops after this step." if stopping else "" if running else reason, self.why)
        self._show_progress()

    def _ready(self) -> str:
        session, trained = self.desk.session, self.bench.chosen
        if session is None or trained is None:
            return ""
        taught = [each.card.created_utc for each in self._children(session.scan_sha256)]
        last = max(taught, default="")
        fresh = sum(mark.time_utc.isoformat(timespec="seconds") > last for mark in session.marks.values())
        said = f"<b>{count(fresh, 'reviewed slice')}</b> since the last fine-tune"
        if not last:
            said = f"<b>{count(fresh, 'reviewed slice')}</b> to learn from"
        elif fresh != len(session.marks):
            said += f", {len(session.marks)} in all"
        return f"{said}. In use: {checkpoint_title(trained)}."

    def _children(self, scan_sha256: str) -> list[Checkpoint]:
        checkpoints = self.bench.checkpoints(self.bench.network)
        return [each for each in checkpoints if scan_sha256 in each.card.scans_sha256]

    def _show_progress(self) -> None:
        running = self._run is not None and not self._run.over
        self.progress.setVisible(running)
        if running and self._run is not None:
            progress = self._run.progress
            step = f"step {progress.done} of {progress.total}" if progress.done else ""
            parts = (step, progress.doing, time_left(self._run.seconds_left))
            self.progress.setText(" · ".join(part for part in parts if part))
