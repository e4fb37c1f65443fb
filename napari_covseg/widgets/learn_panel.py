"""Learn: teach the network the reviewed slices, watch it, and keep what came of it or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

from napari_covseg.io.sentences import count
from napari_covseg.jobs import Run
from napari_covseg.networks import Checkpoint
from napari_covseg.networks.lineage import learned_until
from napari_covseg.networks.registry import listing
from napari_covseg.widgets.family_rows import FamilyRows
from napari_covseg.widgets.gate_words import headline
from napari_covseg.widgets.loss_curve import LossCurve
from napari_covseg.widgets.older_rows import OlderRows
from napari_covseg.widgets.panel import NOTHING_OPEN, Panel, allow, button, in_a_row, rename, words
from napari_covseg.widgets.rest_row import RestRow
from napari_covseg.widgets.verdict_rows import VerdictRows
from napari_covseg.widgets.words import how_far, waits_for
from napari_covseg.workbench import checkpoint_title

NOBODY_JUDGES = "What is learned now could not be judged: {}."
NO_SLICE = "Mark at least one slice reviewed (R); only reviewed slices are learned."
LEARN, STOP, STOPPING = "Learn", "Stop", "Stopping…"
LEARN_TOLD = "Teach a copy of the network your reviewed slices; takes a minute or so"
STOP_TOLD = "End without a new network; whatever it has learned by then is kept, to go on with later"
PAUSE, GO_ON = "Pause", "Go on"
PAUSE_TOLD, GO_ON_TOLD = "Let the processor rest after this step, and go on later", "Go on with the next step"
RESUME_TOLD = "Go on where it was stopped, with the slices that it began with; those reviewed since are for the next"
WRAPPING_UP = "It ends after this step; then the best so far is judged."


class LearnPanel(Panel):
    """One button, a live curve, the verdict, and the lineage; what is made of the verdict is asked at its foot."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._run: Run[Any] | None = None
        self._parent: Checkpoint | None = None
        self._in_use = self.bench.choice.checkpoint
        self._child: Checkpoint | None = None
        self._learns = ""
        self._names: dict[str, str] = {}
        self.steps: int | None = None
        self.ready, self.why, self.progress = words(), words(faint=True), words()
        self.go = button(LEARN, LEARN_TOLD, big=True)
        self.resume = button("Go on where it stopped", RESUME_TOLD)
        self.resume.hide()
        self.curve = LossCurve()
        self.verdict, self.family, self.older = VerdictRows(self.desk), FamilyRows(self.desk), OlderRows(self.desk)
        self.add(self.ready, self.older, self.go, self.resume, self.why, self.progress, self._while_running())
        self.add(self.curve)
        self.rest = RestRow(self.desk)
        self.add(self.verdict, self.rest, self.family)
        self.foot = self.verdict.foot  # what the reader is asked is never scrolled away
        self.rows.addStretch(1)  # what is left over lies below, never between the rows
        self._listen()
        self._show_state()

    def showEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Look whether a run can be gone on with and judged: it is looked for only while somebody sees it."""
        super().showEvent(event)
        self.family.show_family()
        self._show_state()

    def _while_running(self) -> QWidget:
        self.running = QWidget()
        self.pause = button(PAUSE, PAUSE_TOLD)
        self.enough = button("Stop, keep the best", "End early; the best so far is kept and judged")
        self.pause.clicked.connect(self._on_pause)
        self.enough.clicked.connect(self._on_enough)
        in_a_row(self.pause, self.enough, on=self.running)
        return self.running

    def _listen(self) -> None:
        self.go.clicked.connect(self._on_go)
        self.resume.clicked.connect(self._on_resume)
        self.family.doubted.connect(self._on_doubted)
        self.family.looked_at.connect(self._on_looked_at)
        self.older.changed.connect(self._show_state)
        for signal in (self.desk.opened, self.desk.states_changed, self.desk.chose, self.desk.runs_changed):
            signal.connect(self._show_state)
        self.desk.ticked.connect(self._show_progress)
        self.desk.learned.connect(self._on_learned)
        self.desk.opened.connect(self._on_opened)
        self.desk.chose.connect(self._on_chose)

    @property
    def _is_running(self) -> bool:
        return self._run is not None and not self._run.over

    def _on_go(self) -> None:
        if self._is_running and self._run is not None:
            self._run.cancel()
            self._show_state()
        else:
            self._begin(resume=False)

    def _on_resume(self) -> None:
        self._begin(resume=True)

    def _begin(self, *, resume: bool) -> None:
        self._run = self.desk.attempt(lambda: self._begun(resume=resume))
        if self._run is not None and (session := self.desk.session) is not None:
            self._run.stepped.connect(self._on_step)
            self._child, self._learns = None, session.scan_sha256
            self.curve.clear()
            self.verdict.clear()
        self._show_state()

    def _begun(self, *, resume: bool) -> Run[Any] | None:
        trained = self.bench.choice.at_hand()
        if trained is None:
            return None
        self._parent = trained
        self.bench.choice.take(trained.card.network, trained)  # until the reader decides, a child replaces nobody
        older = self.bench.older
        replay = older.place if older else None
        return self.bench.learning.finetune(trained, steps=self.steps, replay=replay, resume=resume)

    def _on_pause(self) -> None:
        if self._run is not None:
            (self._run.go_on if self._run.is_paused else self._run.pause)()
            self._show_state()

    def _on_enough(self) -> None:
        if self._run is not None:
            self._run.wrap_up()
            self._show_state()

    def _on_step(self, step: object) -> None:
        from napari_covseg.training.done import Attempt  # they need torch, which by now is there
        from napari_covseg.training.loop import CheckDone, StepDone
        from napari_covseg.training.neighbourhoods import Dealt

        if isinstance(step, Attempt):
            self.curve.begin(step.stage)
        elif isinstance(step, StepDone):
            self.curve.append(step.step, step.loss)
        elif isinstance(step, CheckDone):
            self.curve.append_held_out(step.step, step.loss)
        elif isinstance(step, Dealt):
            self.curve.dealt(step.nobody)

    def _on_opened(self) -> None:
        """Let the last verdict wait for an answer: the scan may have been asked for while the network learned."""
        if self._child is not None and self.verdict.child == self._child and self.verdict.is_asking:
            self._say_learned(self._child)
        else:
            self.verdict.clear()
            self._let_curve_go()
        self._show_older()

    def _on_chose(self, chosen: Checkpoint | None) -> None:
        was_asked, is_another = self.verdict.is_asking, chosen != self._in_use
        self._in_use = chosen
        self.verdict.follow(chosen)
        if was_asked and is_another and chosen is not None and not self.verdict.is_asking:
            self.bench.said.emit(f"Segment and Learn use {checkpoint_title(chosen)} from now on.")
        self._let_curve_go()
        self._show_older()

    def _on_learned(self, child: Checkpoint) -> None:
        if self._parent is not None and child.card.parent_sha256 == self._parent.sha256:
            self._child = child
            self.verdict.ask(self.bench.choice.checkpoint, child, self._source_of(child))
        self._show_older()
        self._say_learned(child)

    def _on_doubted(self, child: Checkpoint) -> None:
        self.verdict.ask(self.bench.choice.checkpoint, child, self._source_of(child))
        self._let_curve_go()
        self._show_older()

    def _on_looked_at(self, trained: Checkpoint) -> None:
        """Show what the gate said of what is in use, unless the reader is asked about another or waits for it."""
        if not (self._is_running or self.verdict.is_asking) and trained.card.metrics.get("gate"):
            self.verdict.tell(trained, self._source_of(trained))
            self._let_curve_go()
            self._show_older()

    def _say_learned(self, child: Checkpoint) -> None:
        source = self._source_of(child)
        learned = f"Learned from {source}." if source else "Learned."
        verdict = headline(child.card.metrics.get("gate", {}))
        self.bench.said.emit(f"{learned} {verdict} Say in Learn which one to use.")

    def _source_of(self, child: Checkpoint) -> str:
        """Return what the scans are called that a child learned from, if all of them were open in this window."""
        scans = child.card.scans_sha256
        return ", ".join(self._names[scan] for scan in scans) if all(scan in self._names for scan in scans) else ""

    def _let_curve_go(self) -> None:
        """Hide the curve where it is of nothing that is spoken of: neither learned now nor judged below it."""
        if not self._is_running and (self.verdict.child is None or self.verdict.child != self._child):
            self.curve.hide()

    @property
    def _is_of_another_scan(self) -> bool:
        """Whether the last run is not of the scan that is open."""
        return self.desk.session is not None and self._learns not in ("", self.desk.session.scan_sha256)

    def _show_state(self) -> None:
        session, running = self.desk.session, self._is_running
        if self.bench.current is not None:
            self._names[self.bench.current.session.scan_sha256] = self.bench.current.scan.name
        if self._is_of_another_scan:
            self._let_curve_go()
        stopping = running and self._run is not None and self._run.is_cancelling
        going = STOPPING if stopping else STOP
        rename(self.go, going if running else LEARN, STOP_TOLD if running else LEARN_TOLD)
        if session is None:
            reason = NOTHING_OPEN
        elif self.bench.choice.checkpoint is None:
            reason = f"No trained weights of {listing(self.bench.choice.network).title} are here yet."
        else:
            reason = "" if session.marks else NO_SLICE
        self.ready.setText(self._ready())
        allow(self.go, "It stops after this step." if stopping else "" if running else reason, self.why)
        self._show_older()
        self._show_running(stopping=stopping)
        self._show_resume()
        self._show_progress()

    def _show_older(self) -> None:
        self.older.show_state(is_learning=self._is_running, is_judged=self.verdict.child is not None)

    def _show_running(self, *, stopping: bool) -> None:
        run = self._run
        self.running.setVisible(self._is_running and not stopping)
        if run is not None and run.enough is not None:
            wrapping_up = run.enough()
            rename(self.pause, *((GO_ON, GO_ON_TOLD) if run.is_paused else (PAUSE, PAUSE_TOLD)))
            allow(self.pause, WRAPPING_UP if wrapping_up else "")
            allow(self.enough, WRAPPING_UP if wrapping_up else "")

    def _show_resume(self) -> None:
        """Offer to go on with a stopped run; to know whether that can be takes reading what is reviewed."""
        trained = self.bench.choice.checkpoint
        if not self.isVisible() or self._is_running or trained is None:
            self.resume.hide()
        else:
            self.resume.setVisible(self.bench.learning.can_resume(trained))

    def _ready(self) -> str:
        session, trained = self.desk.session, self.bench.choice.checkpoint
        if session is None or trained is None:
            return ""
        taught = (each for each in self._line_of(trained) if session.scan_sha256 in each.card.scans_sha256)
        last = max(map(learned_until, taught), default="")
        fresh = sum(mark.time_utc.isoformat() > last for mark in session.marks.values())
        said = f"<b>{count(fresh, 'reviewed slice')}</b> since the last fine-tune"
        if not last:
            said = f"<b>{count(fresh, 'reviewed slice')}</b> to learn from"
        elif fresh != len(session.marks):
            said += f", {len(session.marks)} in all"
        said += f". In use: {checkpoint_title(trained)}."
        is_asked = self.isVisible() and not self._is_running and session.marks
        doubted = self.bench.learning.doubted(trained) if is_asked else ""
        return f"{said} {NOBODY_JUDGES.format(doubted)}" if doubted else said

    def _line_of(self, trained: Checkpoint) -> Iterator[Checkpoint]:
        """Return a checkpoint and those it comes from, as far as they are at hand."""
        known = {each.sha256: each for each in self.bench.choice.known(self.bench.choice.network)}
        found: Checkpoint | None = trained
        while found is not None:
            yield found
            found = known.pop(found.card.parent_sha256, None)

    def _show_progress(self) -> None:
        self.progress.setVisible(self._is_running)
        if self._is_running and self._run is not None:
            whose = f"{self._run.title} · " if self._is_of_another_scan else ""
            self.progress.setText(f"{whose}{waits_for(self._run, self.bench.runner) or how_far(self._run)}")
