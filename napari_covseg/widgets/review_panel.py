"""Review: correct, mark slices reviewed, sign."""

from __future__ import annotations

from functools import partial

from napari.viewer import Viewer
from qtpy.QtWidgets import QButtonGroup, QLayout

from napari_covseg.io.sentences import count
from napari_covseg.review.words import slice_numbers
from napari_covseg.volume.presets import PRESETS
from napari_covseg.widgets import gestures
from napari_covseg.widgets.brush_row import BrushRow
from napari_covseg.widgets.class_rows import ClassRows
from napari_covseg.widgets.history_rows import HistoryRows
from napari_covseg.widgets.lesion_rows import LesionRows
from napari_covseg.widgets.next_row import NextRow
from napari_covseg.widgets.panel import NOTHING_OPEN, Panel, allow, button, in_a_row, words
from napari_covseg.widgets.second_reader import SecondReaderRows
from napari_covseg.widgets.sign_rows import SignRows
from napari_covseg.widgets.tool_rows import ToolRows
from napari_covseg.widgets.words import clock

FIRST = "Open a scan and segment it; then correct it here, slice by slice."


class ReviewPanel(Panel):
    """Classes, brush, tools, window, marks and the signature; undo and redo at its foot."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.rows.setSpacing(4)
        self.where = words(FIRST)
        self.classes, self.brush = ClassRows(self.desk), BrushRow(self.desk)
        self.tools = ToolRows(self.desk)
        self.add(self.where)
        self._add_marks()  # at the top: what every slice ends with is never scrolled away
        self.add(self.classes, self.brush, self.tools, self._windows(), self._views())
        self.foot = self.history = HistoryRows(self.desk)
        self.lesions, self.readers = LesionRows(self.desk), SecondReaderRows(self.desk)
        self.add(self.readers, self.lesions, self.history)
        self.rows.addStretch()
        self._listen()
        self._show_all()

    def _windows(self) -> QLayout:
        row = in_a_row(apart=4)
        self._presets = QButtonGroup(self)
        self._presets.setExclusive(False)
        for number, preset in enumerate(PRESETS):
            tooltip = (
                f"Window {preset.title.lower()}: level {preset.level_hu:g}, width {preset.width_hu:g} HU (W: next)"
            )
            made = button(preset.title, tooltip, checkable=True)
            made.clicked.connect(partial(self._on_window, number))
            self._presets.addButton(made, number)
            row.addWidget(made)
        return row

    def _views(self) -> QLayout:
        self.views_button = button("Three views  (Y)", "Coronal and sagittal views below this one, and back (Y)")
        self.lungs_button = button("Lungs  (U)", "Show or hide the lungs that a network drew (U)")
        self.views_button.clicked.connect(lambda: gestures.toggle_views(self.desk))
        self.lungs_button.clicked.connect(lambda: gestures.toggle_lungs(self.desk))
        self.compare_button = button("Compare  (C)", "What the network proposed, what you changed, and back (C)")
        self.compare_button.clicked.connect(lambda: gestures.compare(self.desk))
        return in_a_row(self.views_button, self.lungs_button, self.compare_button, apart=4)

    def _add_marks(self) -> None:
        self.reviewed_button = button("Reviewed ✓  (R)", "Mark this slice reviewed and go on to the next (R)", big=True)
        self.unmark_button = button("Take mark back", "This slice is not reviewed after all")
        self.signing = SignRows(self.desk)
        self.sign_button = self.signing.button
        self.marks, self.why = words(), words(faint=True)
        self.reviewed_button.clicked.connect(lambda: gestures.review_and_go_on(self.desk))
        self.unmark_button.clicked.connect(lambda: gestures.take_mark_back(self.desk))
        row = in_a_row(self.unmark_button, self.sign_button, apart=4)
        self.next = NextRow(self.desk)
        self.add(self.reviewed_button, self.next, self.marks, row, self.why, self.signing)

    def _listen(self) -> None:
        self.desk.opened.connect(self._on_opened)
        self.desk.states_changed.connect(self._show_all)
        self.desk.lungs_shown.connect(self._show_views)
        self.viewer.dims.events.current_step.connect(self._show_where)
        if self.desk.link.layers:
            self._on_opened()

    def _on_opened(self) -> None:
        if layers := self.desk.link.layers:
            layers.scan.events.contrast_limits.connect(self._show_window)
        self._show_all()

    def _on_window(self, number: int) -> None:
        gestures.show_window(self.desk, PRESETS[number])
        self._show_window()

    def _show_all(self) -> None:
        self._show_where()
        self._show_window()
        session = self.desk.session
        reason = NOTHING_OPEN if session is None else session.refusal
        allow(self.reviewed_button, reason)
        self.why.setText("" if session is not None and session.is_read_only else reason)  # the state line says that
        self._show_views()
        self.signing.show_state()
        if session is not None:
            numbers = slice_numbers(session.reviewed)
            total = count(session.geometry.shape[0], "slice")
            self.marks.setText(f"Reviewed {len(session.marks)} of {total}" + (f": {numbers}" if numbers else ""))

    def _show_views(self) -> None:
        link = self.desk.link
        nothing = "" if link.layers else NOTHING_OPEN
        allow(self.views_button, nothing)
        allow(self.compare_button, nothing)
        allow(self.lungs_button, nothing or ("" if link.lungs.layer else gestures.NO_LUNGS))

    def _show_where(self) -> None:
        session = self.desk.session
        if session is None:
            allow(self.unmark_button, NOTHING_OPEN)
            return
        index = gestures.slice_shown(self.desk)
        mark = session.marks.get(index)
        state = f"reviewed {clock(mark.time_utc)} ✓" if mark else "not reviewed yet"
        self.where.setText(f"<b>Slice {index + 1}</b> of {session.geometry.shape[0]} · {state}")
        allow(self.unmark_button, session.refusal or ("" if mark else "This slice is not marked."))

    def _show_window(self) -> None:
        shown = gestures.window_shown(self.desk)
        for number, preset in enumerate(PRESETS):
            self._presets.button(number).setChecked(preset is shown)
            allow(self._presets.button(number), "" if self.desk.link.layers else NOTHING_OPEN)
