"""How far, how large and how dense: the sizes of single tools, folded away until they are wanted."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QPushButton, QWidget

from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.panel import button

SIZES = (
    ("grow_limit_mm", "Grow no farther than", (5, 150, 5), " mm", 0),
    ("islands_below_mm3", "Islands are below", (1, 5000, 10), " mm³", 0),
    ("smoothing_mm", "Smooth over", (0.5, 5, 0.5), " mm", 1),
    ("density_hu", "Consolidation is above", (-700, 0, 10), " HU", 0),
)


class ToolSizes(QWidget):  # type: ignore[misc]
    """A form of sizes, and the button that opens it.

    Parameters
    ----------
    desk
        Whose tools.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.opener: QPushButton = button("Sizes…", "How far Grow goes, how small an island is, and the like")
        self.opener.setCheckable(True)
        self.opener.setStyleSheet("QPushButton { padding: 3px 4px; }")
        self.opener.toggled.connect(self.setVisible)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        self.boxes = {name: self._box(name, span, unit, decimals) for name, _, span, unit, decimals in SIZES}
        for name, title, *_ in SIZES:
            form.addRow(title, self.boxes[name])
        self.kernel = QComboBox()
        self.kernel.addItems(["median", "gaussian"])
        self.kernel.setToolTip("Median keeps corners; Gaussian rounds them")
        self.kernel.textActivated.connect(lambda kind: self.desk.tools.change(smoothing=kind))
        form.addRow("Smooth by", self.kernel)
        self.hide()

    def _box(self, name: str, span: tuple[float, float, float], unit: str, decimals: int) -> QDoubleSpinBox:
        box = QDoubleSpinBox()
        box.setDecimals(decimals)
        box.setRange(span[0], span[1])
        box.setSingleStep(span[2])
        box.setSuffix(unit)
        box.setAlignment(Qt.AlignmentFlag.AlignRight)
        box.setValue(getattr(self.desk.tools.settings, name))
        box.valueChanged.connect(self._setter(name))
        return box

    def _setter(self, name: str) -> Callable[[float], None]:
        return lambda value: self.desk.tools.change(**{name: value})
