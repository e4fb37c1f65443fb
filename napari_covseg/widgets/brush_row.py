"""The brush: move, paint or erase, and how wide in millimetres."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QLabel, QSlider, QWidget

from napari_covseg.widgets import gestures
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.layers import BRUSH_MM, brush_mm, brush_size
from napari_covseg.widgets.panel import NOTHING_OPEN, allow, button
from napari_covseg.widgets.tool_icons import dress

MODES = (
    ("pan_zoom", "Move", "Drag moves the picture, the wheel goes through the slices, Ctrl and wheel zooms (Z)"),
    ("paint", "Paint", "Drag paints the chosen class (P); right click begins an outline that is filled"),
    ("erase", "Erase", "Drag erases (E)"),
)
WIDEST_MM = 60


class BrushRow(QWidget):  # type: ignore[misc]
    """Mode buttons and the brush's diameter.

    Parameters
    ----------
    desk
        What to listen to.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        self.modes = QButtonGroup(self)
        for number, (mode, title, tooltip) in enumerate(MODES):
            made = button(title, tooltip, checkable=True)
            made.clicked.connect(partial(gestures.choose_mode, desk, mode))
            self.modes.addButton(made, number)
            grid.addWidget(made, 0, number)
        self._dress()
        desk.viewer.events.theme.connect(self._dress)
        self.size = QSlider(Qt.Orientation.Horizontal)
        self.size.setRange(1, WIDEST_MM)
        self.size.setValue(round(BRUSH_MM))
        self.size.setToolTip("Diameter of the brush ([ and ])")
        self.size.valueChanged.connect(self._on_size)
        self.size_mm = QLabel(f"Brush {BRUSH_MM:.0f} mm")
        grid.addWidget(self.size, 1, 0, 1, 2)
        grid.addWidget(self.size_mm, 1, 2)
        desk.opened.connect(self._on_opened)
        self._on_opened()

    def _dress(self) -> None:
        dress(self.desk.viewer, {each.text(): each for each in self.modes.buttons()})

    def _on_opened(self) -> None:
        lesions = gestures.lesions_of(self.desk)
        for each in self.modes.buttons():
            allow(each, "" if lesions is not None else NOTHING_OPEN)
        self.size.setEnabled(lesions is not None)
        if lesions is not None:
            lesions.events.mode.connect(self._show_mode)
            lesions.events.brush_size.connect(self._show_size)
            self._show_mode()
            self._show_size()

    def _on_size(self, diameter_mm: int) -> None:
        lesions = gestures.lesions_of(self.desk)
        if lesions is not None:
            lesions.brush_size = brush_size(lesions, diameter_mm)

    def _show_mode(self) -> None:
        lesions = gestures.lesions_of(self.desk)
        modes = [mode for mode, *_ in MODES]
        shown = modes.index(str(lesions.mode)) if lesions is not None and str(lesions.mode) in modes else None
        self.modes.setExclusive(shown is not None)
        for number, each in enumerate(self.modes.buttons()):
            each.setChecked(number == shown)

    def _show_size(self) -> None:
        lesions = gestures.lesions_of(self.desk)
        if lesions is not None:
            diameter_mm = brush_mm(lesions)
            self.size_mm.setText(f"Brush {diameter_mm:.0f} mm")
            was = self.size.blockSignals(True)
            self.size.setValue(round(diameter_mm))
            self.size.blockSignals(was)
