"""The live curves of a fine-tuning: how far off it is on what it learns, and on the slices held out to check it by."""

from __future__ import annotations

from itertools import count as numbers
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_covseg.widgets.panel import stacked, words
from napari_covseg.widgets.theme import theme_of

LINE = "#35b779"
LEARNED, HELD_OUT = "what it learns", "held out"
KEY = f'<span style="color: {LINE}">━━</span> {LEARNED} &nbsp; ━●━ {HELD_OUT}'
MOST_TICKS = 6
TOLD = "How far off the network still is: lower is nearer. Held out are slices of yours that it does not learn"
NOTHING_HELD_OUT = "There is no curve of held-out slices: {}."
WENT_ON = "It went on at step {}; what was learned before is not drawn."


class LossCurve(QWidget):  # type: ignore[misc]
    """Losses over steps, in the colours of the window; what draws them is brought in when there is something to draw.

    The stages of a cascade follow each other along the axis. Until the first point is there, nothing is shown: what is
    done before it (the network is measured, for instance) is told beside it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._plot: Any = None
        self._curves: dict[str, Any] = {}
        self._drawn: dict[str, list[tuple[int, float]]] = {LEARNED: [], HELD_OUT: []}
        self._stage, self._stage_begins, self._last = "", 0, 0
        self.note = words(faint=True)
        self.key = words(KEY)
        self.key.hide()
        self._rows = stacked(self, self.key, self.note)
        self.hide()

    @property
    def losses(self) -> tuple[float, ...]:
        """What was drawn so far of what it learns."""
        return tuple(loss for _, loss in self._drawn[LEARNED])

    @property
    def held_out(self) -> tuple[tuple[int, float], ...]:
        """What was drawn so far of the held-out slices, each with its step."""
        return tuple(self._drawn[HELD_OUT])

    def clear(self) -> None:
        """Begin anew, in the colours that the window has now."""
        if self._plot is None:
            self._build()
        self._stage, self._stage_begins, self._last = "", 0, 0
        self.note.setText("")
        for name, drawn in self._drawn.items():
            drawn.clear()
            self._show(name)
        theme = theme_of()
        self._curves[HELD_OUT].setPen(theme.text, width=2)
        self._curves[HELD_OUT].setSymbolPen(theme.text)
        self._plot.setBackground(theme.background)
        for side in ("bottom", "left"):
            self._plot.getAxis(side).setPen(theme.text)
            self._plot.getAxis(side).setTextPen(theme.text)

    def begin(self, stage: str) -> None:
        """Begin with a stage; where it was the last, memory ran out, and what was drawn of it came to nothing."""
        if stage == self._stage:
            self._last = 0
            for name, drawn in self._drawn.items():
                drawn[:] = [place for place in drawn if place[0] <= self._stage_begins]
                self._show(name)
        self._stage = stage

    def append(self, step: int, loss: float) -> None:
        """Draw one more step of what it learns; one that is not after the last begins the next stage."""
        if step > 1 and not self._drawn[LEARNED]:
            self.note.setText(" ".join(filter(None, (WENT_ON.format(step), self.note.text()))))
        if step <= self._last:
            self._stage_begins += self._last
        self._last = step
        self._draw(LEARNED, step, loss)

    def append_held_out(self, step: int, loss: float) -> None:
        """Draw one more look at the held-out slices."""
        self._draw(HELD_OUT, step, loss)

    def dealt(self, nobody: str) -> None:
        """Say why nothing is held out, where nothing is; no curve of it will come."""
        self.key.setVisible(not nobody)
        self.note.setText(NOTHING_HELD_OUT.format(nobody) if nobody else "")

    def _draw(self, name: str, step: int, loss: float) -> None:
        self._drawn[name].append((self._stage_begins + step, loss))
        self._show(name)
        first = min(drawn[0][0] for drawn in self._drawn.values() if drawn)
        self._plot.getAxis("bottom").setTickSpacing(levels=[(tick_spacing(self._stage_begins + step - first + 1), 0)])

    def _show(self, name: str) -> None:
        drawn = self._drawn[name]
        symbol = "o" if name == HELD_OUT or len(drawn) == 1 else None  # a line through one point is none
        self._curves[name].setData([step for step, _ in drawn], [loss for _, loss in drawn], symbol=symbol)
        self.setVisible(any(self._drawn.values()))

    def _build(self) -> None:
        import pyqtgraph as pg

        self._plot = pg.PlotWidget()
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideButtons()
        self._plot.setLabel("bottom", "step")
        self._plot.setLabel("left", "how far off")
        self._plot.getPlotItem().layout.setContentsMargins(0, 6, 6, 6)  # without, the highest and lowest are cut
        self._plot.getAxis("left").enableAutoSIPrefix(False)
        self._plot.setToolTip(TOLD)
        self._plot.setFixedHeight(176)
        self._curves[LEARNED] = self._plot.plot(
            pen=pg.mkPen(LINE, width=2), symbolSize=5, symbolPen=LINE, symbolBrush=LINE
        )
        self._curves[HELD_OUT] = self._plot.plot(symbolSize=5)
        self._rows.insertWidget(1, self._plot)


def tick_spacing(steps: int) -> int:
    """Return how many steps apart the numbers below so many are, so that there are few, and none of half a step."""
    sizes = (size * int(10**power) for power in numbers() for size in (1, 2, 5))
    return next(size for size in sizes if size * MOST_TICKS >= steps)
