"""The classes: a button with colour and key for each, and its millilitres beside it."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QLabel, QWidget

from napari_covseg.volume import LESIONS
from napari_covseg.widgets import gestures
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.keys import CLASS_KEYS
from napari_covseg.widgets.panel import NOTHING_OPEN, allow, button


class ClassRows(QWidget):  # type: ignore[misc]
    """One row per lesion class.

    Parameters
    ----------
    desk
        What to listen to.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.millilitres: dict[str, QLabel] = {}
        self.buttons = QButtonGroup(self)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        grid.setColumnStretch(0, 1)
        for row, each in enumerate(LESIONS):
            key = CLASS_KEYS[each.name]
            made = button(f"{each.title}  ({key})", f"Paint {each.title.lower()} ({key})", checkable=True)
            made.setIcon(_swatch(each.colour))
            made.setStyleSheet("QPushButton { text-align: left; padding: 4px 6px; }")
            made.clicked.connect(partial(gestures.choose_class, desk, each.name))
            self.buttons.addButton(made, each.value)
            self.millilitres[each.name] = label = QLabel("– mL")
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            label.setMinimumWidth(64)
            label.setToolTip(f"{each.title} in the whole scan, in millilitres")
            grid.addWidget(made, row, 0)
            grid.addWidget(label, row, 1)
        desk.opened.connect(self._on_opened)
        desk.labels_changed.connect(self._show_millilitres)
        self._on_opened()

    def _on_opened(self) -> None:
        lesions = gestures.lesions_of(self.desk)
        if lesions is not None:
            lesions.events.selected_label.connect(self._show_class)
        for each in self.buttons.buttons():
            allow(each, "" if lesions is not None else NOTHING_OPEN)
        self._show_class()
        self._show_millilitres()

    def _show_class(self) -> None:
        lesions = gestures.lesions_of(self.desk)
        if lesions is not None and (chosen := self.buttons.button(lesions.selected_label)):
            chosen.setChecked(True)

    def _show_millilitres(self) -> None:
        if self.desk.link.tally:
            for name, ml in self.desk.link.tally.totals_ml.items():
                self.millilitres[name].setText(f"{ml:.1f} mL")


def _swatch(colour: str) -> QIcon:
    pixmap = QPixmap(16, 16)
    pixmap.fill(QColor(colour))
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Disabled)  # the colours are told also before a scan is there
    return icon
