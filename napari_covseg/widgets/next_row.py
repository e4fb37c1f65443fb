"""The button that leads to the slice most worth a look, and why that one."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_covseg.widgets import gestures
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.next_slice import ALL_REVIEWED, LEAST_ML
from napari_covseg.widgets.panel import NOTHING_OPEN, allow, button, stacked, words

TOLD = "Go to the slice that is most worth a look: where the network is unsure, and away from those you saw (N)"


class NextRow(QWidget):  # type: ignore[misc]
    """The button, and why.

    Parameters
    ----------
    desk
        Whose scan.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.button, self.why = button("Next  (N)", TOLD), words(faint=True)
        stacked(self, self.button, self.why, apart=2)
        self.button.clicked.connect(lambda: gestures.next_suggestion(self.desk))
        desk.furniture.next_slice.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        opened, found = self.desk.bench.current, self.desk.furniture.next_slice.suggestion
        if opened is None or found is None:
            self.button.setText("Next  (N)")
            allow(self.button, NOTHING_OPEN if opened is None else ALL_REVIEWED)
            self.why.setText("")
            return
        allow(self.button)
        self.button.setText(f"Next: slice {found.index + 1} of {opened.scan.geometry.shape[0]}  (N)")
        if found.unsure_ml >= LEAST_ML:
            self.why.setText(f"The network is unsure of {found.unsure_ml:.1f} mL there.")
        else:
            self.why.setText(f"It lies {found.away_mm:.0f} mm from the nearest slice that you reviewed or went to.")
