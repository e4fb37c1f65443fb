"""The live loss curve."""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QVBoxLayout, QWidget

LINE = "#35b779"


class LossCurve(QWidget):  # type: ignore[misc]
    """Loss over steps, in the colours of the window."""

    def __init__(self) -> None:
        super().__init__()
        self._plot = pg.PlotWidget()
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideButtons()
        self._plot.setLabel("bottom", "step")
        self._plot.setLabel("left", "loss")
        self._plot.getAxis("left").enableAutoSIPrefix(False)
        self._plot.setToolTip("How far the network still is from your slices: lower is nearer")
        self._curve = self._plot.plot(pen=pg.mkPen(LINE, width=2))
        self._steps: list[int] = []
        self._losses: list[float] = []
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(self._plot)
        self.setFixedHeight(170)

    @property
    def losses(self) -> tuple[float, ...]:
        """What was drawn so far."""
        return tuple(self._losses)

    def clear(self) -> None:
        """Begin anew, in the colours that the window has now."""
        self._steps.clear()
        self._losses.clear()
        self._curve.setData([], [])
        back, front = _colours()
        self._plot.setBackground(back)
        for side in ("bottom", "left"):
            self._plot.getAxis(side).setPen(front)
            self._plot.getAxis(side).setTextPen(front)

    def append(self, step: int, loss: float) -> None:
        """Draw one more step."""
        self._steps.append(step)
        self._losses.append(loss)
        self._curve.setData(self._steps, self._losses)


def _colours() -> tuple[QColor, QColor]:
    from napari.settings import get_settings
    from napari.utils.theme import get_theme

    theme = get_theme(get_settings().appearance.theme)
    return QColor(theme.background.as_hex()), QColor(theme.text.as_hex())
