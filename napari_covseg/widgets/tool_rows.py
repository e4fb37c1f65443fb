"""The tools in the Review panel: what bounds the brush, the ranges, and a button for every tool."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_covseg.widgets import gestures
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.handles import HANDLES, Handle
from napari_covseg.widgets.other_network import NONE_YET as NOBODY_DREW
from napari_covseg.widgets.panel import NOTHING_OPEN, allow, button, stacked, words
from napari_covseg.widgets.tool_icons import dress
from napari_covseg.widgets.tool_sizes import ToolSizes

COLUMNS = 3
LOWEST_HU, HIGHEST_HU = -1024, 3071
KEY_SIGNS = {"Shift-": "⇧", "Up": "↑", "Down": "↓", "Delete": "Del"}
NONE_YET, NOT_SHOWN = "no other network yet", "no other network"
OTHER_TOLD = "Another network whose lesions are shown as white outlines, for Accept to take over"
BOX_PX = 62
TIGHT = "QPushButton { padding: 2px 3px; }"
WITH_ICON = "QPushButton { padding: 2px 0 2px 3px; text-align: left; }"


class ToolRows(QWidget):  # type: ignore[misc]
    """Switches of the brush, the range of the chosen class, the scope, and the tools.

    Parameters
    ----------
    desk
        Whose tools.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk, self.tools = desk, desk.tools
        self.by_hu = self._switch("HU range", "T", "by_hu", "Brush and eraser reach only HU in this range")
        self.in_lungs = self._switch("In lungs", "Shift-T", "in_lungs", "Stay in the lungs; effusion need not")
        self.with_a_ball = self._switch("3-D brush", "Shift-B", "with_a_ball", "Brush and eraser are balls")
        self.erase = _tight(button("HU eraser ⇧E", "Erase only what lies in the HU range (Shift-E)"))
        self.erase.clicked.connect(lambda: gestures.erase_in_range(self.desk))
        self.flat, self.deep = (
            _tight(button(title, tooltip, checkable=True))
            for title, tooltip in (
                ("This slice", "The tools below change only the slice on screen (Shift-D)"),
                ("3-D", "The tools below work through all slices (Shift-D)"),
            )
        )
        self.flat.clicked.connect(partial(self.tools.change, in_3d=False))
        self.deep.clicked.connect(partial(self.tools.change, in_3d=True))
        self.low, self.high = self._limit("Lowest"), self._limit("Highest")
        self.buttons = {each.name: self._button(each) for each in HANDLES}
        self.other = QComboBox()
        self.other.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.other.textActivated.connect(self._on_other)
        self.waits, self.sizes = words(faint=True), ToolSizes(desk)
        self._lay_out()
        self._dress()
        desk.viewer.events.theme.connect(self._dress)
        self.tools.changed.connect(self._show)
        desk.opened.connect(self._on_opened)
        desk.states_changed.connect(self._show)
        desk.runs_changed.connect(self._show_others)
        self._on_opened()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Put a tool down, or stop one, on Escape, also while one of our buttons has the focus."""
        if event.key() != Qt.Key.Key_Escape or not self.tools.give_up():
            super().keyPressEvent(event)

    def _lay_out(self) -> None:
        rows = stacked(self, apart=3)
        rows.addLayout(_row(self.by_hu, self.low, QLabel("…"), self.high))
        rows.addLayout(_row(self.in_lungs, self.with_a_ball, self.erase))
        rows.addLayout(_row(self.flat, self.deep, self.sizes.opener))
        rows.addWidget(self.sizes)
        grid = QGridLayout()
        grid.setSpacing(3)
        in_grid = [made for name, made in self.buttons.items() if name != "Accept"]
        for number, made in enumerate(in_grid):
            grid.addWidget(made, number // COLUMNS, number % COLUMNS)
        rows.addLayout(grid)
        accept = _row(self.buttons["Accept"], self.other)
        accept.setStretch(1, 2)  # names of networks are longer
        rows.addLayout(accept)
        rows.addWidget(self.waits)

    def _dress(self) -> None:
        dress(self.desk.viewer, self.buttons)

    def _switch(self, title: str, key: str, setting: str, tooltip: str) -> QPushButton:
        made = _tight(button(f"{title}  {_sign(key)}", f"{tooltip} ({key})", checkable=True))
        made.clicked.connect(partial(gestures.switch, self.desk, setting))
        return made

    def _limit(self, which: str) -> QSpinBox:
        box = QSpinBox()
        box.setRange(LOWEST_HU, HIGHEST_HU)
        box.setSingleStep(10)
        box.setKeyboardTracking(False)
        box.setAlignment(Qt.AlignmentFlag.AlignRight)
        box.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        box.setFixedWidth(BOX_PX)
        box.setToolTip(f"{which} HU of the chosen class, for brush, eraser and Grow")
        box.valueChanged.connect(self._on_range)
        box.editingFinished.connect(box.clearFocus)  # letters are keys again
        return box

    def _button(self, handle: Handle) -> QPushButton:
        hint = f": {handle.hint}" if handle.hint else ""
        how = "the key works where the cursor is; after a press, click the place" if handle.at == "place" else ""
        tooltip = f"{handle.title}{hint} ({'; '.join(filter(None, (handle.key, how)))})"
        made = _tight(button(f"{handle.name} {_sign(handle.key)}", tooltip, checkable=handle.at == "place"))
        made.setStyleSheet(WITH_ICON)
        made.clicked.connect(partial(self._on_tool, handle))
        return made

    def _on_tool(self, handle: Handle) -> None:
        self.tools.take(handle)
        self._show()

    def _on_other(self, network: str) -> None:
        self.tools.other.choose("" if network == NOT_SHOWN else network)

    def _show_others(self) -> None:
        """Offer the networks that drew something, and show which one is looked at."""
        if self.desk.bench.runner.busy:
            return
        networks = self.tools.other.networks
        self.other.clear()
        self.other.addItems([NOT_SHOWN if networks else NONE_YET, *networks])
        self.other.setCurrentText(self.tools.other.network or NOT_SHOWN)
        self.other.setEnabled(bool(networks))
        self.other.setToolTip(OTHER_TOLD if networks else NOBODY_DREW)

    def _on_range(self) -> None:
        self.tools.set_range(self.low.value(), self.high.value())
        self._show()

    def _on_opened(self) -> None:
        lesions = gestures.lesions_of(self.desk)
        if lesions is not None:
            lesions.events.selected_label.connect(self._show)
        self._show()
        self._show_others()

    def _show(self) -> None:
        session, settings = self.desk.session, self.tools.settings
        reason = NOTHING_OPEN if session is None else session.refusal
        for made, is_on in (
            (self.by_hu, settings.by_hu),
            (self.in_lungs, settings.in_lungs),
            (self.with_a_ball, settings.with_a_ball),
            (self.flat, not settings.in_3d),
            (self.deep, settings.in_3d),
        ):
            made.setChecked(is_on)
        for made in (self.by_hu, self.in_lungs, self.with_a_ball, self.erase, self.flat, self.deep):
            allow(made, reason)
        waiting = self.tools.waiting
        for name, made in self.buttons.items():
            allow(made, reason)
            made.setChecked(waiting is not None and waiting.name == name)
        self.waits.setText(f"{waiting.name}: click the place on the picture; Esc puts it down." if waiting else "")
        self._show_range()

    def _show_range(self) -> None:
        lesions = gestures.lesions_of(self.desk)
        hu_range = self.tools.settings.range_of(int(lesions.selected_label) if lesions is not None else 1)
        for box, value in ((self.low, hu_range.low), (self.high, hu_range.high)):
            box.setEnabled(lesions is not None)
            was = box.blockSignals(True)
            box.setValue(round(value))
            box.blockSignals(was)


def _row(*pieces: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(3)
    for piece in pieces:
        row.addWidget(piece, isinstance(piece, QPushButton | QComboBox))
    return row


def _tight(made: QPushButton) -> QPushButton:
    made.setStyleSheet(TIGHT)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # never wider than the panel
    return made


def _sign(key: str) -> str:
    for word, sign in KEY_SIGNS.items():
        key = key.replace(word, sign)
    return key
