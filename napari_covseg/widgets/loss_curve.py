"""The live loss curve."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_covseg.widgets.theme import theme_of

LINE = "#35b779"


class LossCurve(QWidget):  # type: ignore[misc]
    """Loss over steps, in the colours of the window; what draws it is brought in when there is something to draw."""

    def __init__(self) -> None:
        super().__init__()
        self._plot: Any = None
        self._curve: Any = None
        self._steps: list[int] = []
        self._losses: list[float] = []
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(176)

    @property
    def losses(self) -> tuple[float, ...]:
        """What was drawn so far."""
        return tuple(self._losses)

    def clear(self) -> None:
        """Begin anew, in the colours that the window has now."""
        if self._plot is None:
            self._build()
        self._steps.clear()
        self._losses.clear()
        self._curve.setData([], [])
        theme = theme_of()
        self._plot.setBackground(theme.background)
        for side in ("bottom", "left"):
            self._plot.getAxis(side).setPen(theme.text)
            self._plot.getAxis(side).setTextPen(theme.text)

    def append(self, step: int, loss: float) -> None:
        """Draw one more step."""
        self._steps.append(step)
        self._losses.append(loss)
        self._curve.setData(self._steps, self._losses)

    def _build(self) -> None:
        import pyqtgraph as pg

        self._plot = pg.PlotWidget()
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideButtons()
        self._plot.setLabel("bottom", "step")
        self._plot.setLabel("left", "how far off")
        self._plot.getPlotItem().layout.setContentsMargins(0, 0, 6, 6)  # without, the lowest words are cut
        self._plot.getAxis("left").enableAutoSIPrefix(False)
        self._plot.setToolTip("How far the network still is from your slices: lower is nearer")
        self._curve = self._plot.plot(pen=pg.mkPen(LINE, width=2))
        self._rows.addWidget(self._plot)
