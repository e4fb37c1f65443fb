"""What a scan does not say and the reader must, asked in the Open panel: which series, how far apart, which window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QListWidget, QWidget

from napari_covseg.io import SeriesSummary, Stated, UnstatedError
from napari_covseg.io.sentences import count
from napari_covseg.io.stated import is_spacing
from napari_covseg.volume.presets import PRESETS
from napari_covseg.widgets.panel import button, stacked, words

ASKED = {
    "series": "This folder holds several series. Choose the one to read:",
    "spacing": "Nothing says how far apart the voxels are. Enter the distances in mm between columns, rows and slices:",
    "window": "These are grey values. Choose the window that they show:",
    "straighten": "The gantry was tilted. The slices can be shifted upright; masks then lie on the new grid.",
}
OPENS = "Open the scan as stated here"
SPACINGS = ("columns", "rows", "slices")
NOT_STATED = "–"


class Question(QWidget):  # type: ignore[misc]
    """Asks, and tells the answer with `answered(path, stated)`; hidden until something is to be asked."""

    answered = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self._path, self._stated = Path(), Stated()
        self._answer: Callable[[], Stated] = Stated
        self.text = words()
        self.go = button("Open", OPENS, big=True)
        self.field = QWidget()
        self._rows = stacked(self, self.text, self.field, self.go)
        self.go.clicked.connect(self._on_go)
        self.hide()

    def ask(self, path: Path, stated: Stated, error: UnstatedError) -> None:
        """Ask for what is missing beside what was stated already."""
        self._path, self._stated = path, stated
        self.text.setText(f"{path.name}: {ASKED[error.question]}")
        self._let_go(True)
        made = {
            "series": lambda: self._ask_series(error.series),
            "spacing": self._ask_spacing,
            "window": self._ask_window,
            "straighten": self._ask_straighten,
        }[error.question]
        field = made()
        self._rows.replaceWidget(self.field, field)
        self.field.deleteLater()
        self.field = field
        self.show()

    def _ask_series(self, series: tuple[SeriesSummary, ...]) -> QWidget:
        choices = QListWidget()
        for number, each in enumerate(series, start=1):
            facts = (each.modality, each.description, count(each.slices, "slice"))
            choices.addItem(f"{number}: {', '.join(fact for fact in facts if fact)}")
        choices.setCurrentRow(
            max(range(len(series)), key=lambda row: (series[row].modality == "CT", series[row].slices))
        )
        choices.itemDoubleClicked.connect(self._on_go)
        self._answer = lambda: replace(self._stated, series=series[choices.currentRow()].uid)
        return choices

    def _ask_spacing(self) -> QWidget:
        field = QWidget()
        row = QHBoxLayout(field)
        row.setContentsMargins(0, 0, 0, 0)
        boxes = [QDoubleSpinBox() for _ in SPACINGS]
        for box, between in zip(boxes, SPACINGS, strict=True):
            box.setRange(0, 100)
            box.setDecimals(4)
            box.setSingleStep(0.1)
            box.setSuffix(" mm")
            box.setSpecialValueText(NOT_STATED)
            box.setToolTip(f"Millimetres between {between}; nothing is assumed")
            box.valueChanged.connect(lambda _: self._let_go(is_spacing(tuple(each.value() for each in boxes))))
            row.addWidget(box)
        self._let_go(False)
        self._answer = lambda: replace(self._stated, spacing_mm=(boxes[0].value(), boxes[1].value(), boxes[2].value()))
        return field

    def _ask_window(self) -> QWidget:
        choices = QComboBox()
        for preset in PRESETS:
            choices.addItem(f"{preset.title} ({preset.level_hu:g}/{preset.width_hu:g})")
        self._answer = lambda: replace(self._stated, window_hu=PRESETS[choices.currentIndex()].limits_hu)
        return choices

    def _ask_straighten(self) -> QWidget:
        self._answer = lambda: replace(self._stated, straighten=True)
        return QWidget()

    def _let_go(self, is_stated: bool) -> None:
        self.go.setEnabled(is_stated)
        self.go.setToolTip(OPENS if is_stated else "Enter all three distances first, 0.05 to 100 mm each")

    def _on_go(self) -> None:
        self.hide()
        self.answered.emit(self._path, self._answer())
