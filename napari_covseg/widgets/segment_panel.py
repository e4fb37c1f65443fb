"""Segment: let a network propose, on this slice, a range, or the whole scan."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from napari.viewer import Viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QLabel, QRadioButton, QSpinBox, QToolButton

from napari_covseg.jobs import Run
from napari_covseg.networks import Checkpoint
from napari_covseg.networks.checkpoint import best_first
from napari_covseg.networks.lineage import is_promoted
from napari_covseg.networks.registry import listing
from napari_covseg.widgets.gestures import slice_shown
from napari_covseg.widgets.more_form import MoreForm
from napari_covseg.widgets.outcome import Outcome
from napari_covseg.widgets.panel import NOTHING_OPEN, Panel, allow, button, words
from napari_covseg.widgets.words import measured_dice, time_left, waits_for
from napari_covseg.workbench import OpenScan, SegmentRequest, checkpoint_title

Scope = Literal["slice", "range", "scan"]
SCOPES: dict[Scope, str] = {"slice": "This slice", "range": "Slices", "scan": "Whole scan"}


class SegmentPanel(Panel):
    """Chooses network and slices, and runs; the one big button becomes Cancel."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._run: Run[Any] | None = None
        self.outcome = Outcome(self.desk)
        self.network = QComboBox()
        self.network.setToolTip("The network that proposes")
        for key in best_first(self.bench.folder):
            note = "" if self.bench.choice.known(key) else " (untrained)"
            self.network.addItem(listing(key).title + note, key)
        self.summary, self.measured = words(), words(faint=True)
        self.go = button("Segment", "Run the network; finished slices appear at once, from this one outward", big=True)
        self.why, self.progress = words(faint=True), words()
        self.add(self.network, self.summary, self.measured)
        self._add_scope()
        self.add(self.go, self.why, self.progress)
        self._add_more()
        self.rows.addStretch()
        self._listen()
        self._show_choice()
        if self.bench.current:
            self._on_opened(self.bench.current)

    @property
    def scope(self) -> Scope:
        """Which slices are asked for."""
        number: int = self._scopes.checkedId()
        return tuple(SCOPES)[number]

    def choose_scope(self, scope: Scope) -> None:
        """Ask for this slice, the range, or the whole scan."""
        self._scopes.button(tuple(SCOPES).index(scope)).setChecked(True)

    def _add_scope(self) -> None:
        self._scopes = QButtonGroup(self)
        self.first, self.last = QSpinBox(), QSpinBox()
        for box in (self.first, self.last):
            box.setMinimum(1)
            box.setToolTip("Slice number, from 1 at the apex down")
            box.setAlignment(Qt.AlignmentFlag.AlignRight)
            box.valueChanged.connect(lambda: self.choose_scope("range"))
        for number, title in enumerate(SCOPES.values()):
            radio = QRadioButton(title)
            radio.setToolTip(f"{title}: reviewed slices are never written on")
            self._scopes.addButton(radio, number)
            row = QHBoxLayout()
            row.addWidget(radio)
            if title == "Slices":
                row.addWidget(self.first)
                row.addWidget(QLabel("to"))
                row.addWidget(self.last)
            row.addStretch()
            self.add(row)
        self.choose_scope("scan")

    def _add_more(self) -> None:
        self.more = QToolButton()
        self.more.setText("More")
        self.more.setToolTip("Device, checkpoint, and slices you corrected")
        self.more.setCheckable(True)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.setArrowType(Qt.ArrowType.RightArrow)
        self.form = MoreForm()
        self.form.native.hide()
        self.add(self.more, self.form.native)

    def _listen(self) -> None:
        self.network.activated.connect(self._on_network)
        self.go.clicked.connect(self._on_go)
        self.more.toggled.connect(self._on_more)
        self.form.checkpoint.changed.connect(self._on_checkpoint)
        self.desk.opened.connect(self._on_opened)
        self.desk.states_changed.connect(self._show_state)
        self.desk.chose.connect(self._show_choice)
        self.desk.learned.connect(self._show_choice)
        self.desk.runs_changed.connect(self._show_state)
        self.desk.ticked.connect(self._show_progress)

    def _on_network(self) -> None:
        self.bench.choice.take(self.network.currentData())

    def _on_checkpoint(self, trained: Checkpoint | None) -> None:
        if trained is not None and trained != self.bench.choice.checkpoint:
            self.bench.choice.take(trained.card.network, trained)

    def _on_more(self, shown: bool) -> None:
        self.form.native.setVisible(shown)
        self.more.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)

    def _on_go(self) -> None:
        if self._run is not None and not self._run.over:
            self._run.cancel()
            self._show_state()
        else:
            self._run = self.desk.attempt(self._begun)
            self._show_state()

    def _begun(self) -> Run[Any] | None:
        trained = self.bench.choice.at_hand()
        if trained is None:
            return None
        run = self.bench.segment(self._request(trained))
        run.finished.connect(partial(self.outcome.tell, self.bench.current, checkpoint_title(trained)))
        return run

    def _request(self, trained: Checkpoint) -> SegmentRequest:
        return SegmentRequest(
            trained,
            self.scope,
            centre=slice_shown(self.desk),
            first=min(self.first.value(), self.last.value()) - 1,
            last=max(self.first.value(), self.last.value()) - 1,
            device=self.form.device.value,
            over_corrections=self.form.over_corrections.value,
        )

    def _on_opened(self, opened: OpenScan) -> None:
        depth, scope = opened.scan.geometry.shape[0], self.scope
        for box, value in ((self.first, 1), (self.last, depth)):
            box.setMaximum(depth)
            box.setValue(value)
        self.choose_scope(scope)
        self._show_state()

    def _show_choice(self) -> None:
        trained = self.bench.choice.checkpoint
        self.network.setCurrentIndex(self.network.findData(self.bench.choice.network))
        self.summary.setText(listing(self.bench.choice.network).summary)
        self.measured.setText(measured_dice(trained.card) if trained else "")
        self.form.offer(self._promoted(), trained)
        self._show_state()

    def _promoted(self) -> list[Checkpoint]:
        """Return what may be segmented with: a child that its gate held back is taken up in Learn, with a reason."""
        return [
            each for each in self.bench.choice.known(self.bench.choice.network) if is_promoted(each, self.bench.folder)
        ]

    def _show_state(self) -> None:
        running = self._run is not None and not self._run.over
        stopping = running and self._run is not None and self._run.is_cancelling
        self.go.setText("Stopping…" if stopping else "Cancel" if running else "Segment")
        allow(self.go, "" if running and not stopping else self._reason_not(stopping), self.why)
        self._show_progress()

    def _reason_not(self, stopping: bool) -> str:
        if stopping:
            return "It stops after this slice."
        if self.desk.session is None:
            return NOTHING_OPEN
        if self.desk.session.refusal:
            return str(self.desk.session.refusal)
        choice = self.bench.choice
        if choice.checkpoint is None:
            return f"No trained weights of {listing(choice.network).title} are here yet; train it or copy them in."
        return ""

    def _show_progress(self) -> None:
        running = self._run is not None and not self._run.over
        self.progress.setVisible(running)
        if running and self._run is not None:
            progress = self._run.progress
            said = f"{progress.done} of {progress.total} slices" if progress.done else progress.doing
            parts = (waits_for(self._run, self.bench.runner) or said, time_left(self._run.seconds_left))
            self.progress.setText(" · ".join(part for part in parts if part))
