"""Two thin lines where the three views meet."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QWidget

from napari_covseg.widgets.picture import Pane, camera

STYLE = "background: rgba(255, 214, 92, 130);"


class CrossHair(QObject):  # type: ignore[misc]
    """Lines over a picture, through the place that the viewer's dimensions point at.

    Parameters
    ----------
    pane
        On which picture.
    """

    def __init__(self, pane: Pane) -> None:
        super().__init__(pane.native)
        self.pane, self.is_shown = pane, False
        self.across, self.down = _line(pane.native), _line(pane.native)
        pane.model.dims.events.current_step.connect(self.settle)
        pane.model.dims.events.order.connect(self.settle)
        camera(pane.model).events.center.connect(self.settle)
        camera(pane.model).events.zoom.connect(self.settle)
        pane.native.installEventFilter(self)

    def close(self) -> None:
        """Listen no more."""
        self.pane.model.dims.events.current_step.disconnect(self.settle)
        self.pane.model.dims.events.order.disconnect(self.settle)
        camera(self.pane.model).events.center.disconnect(self.settle)
        camera(self.pane.model).events.zoom.disconnect(self.settle)
        self.pane.native.removeEventFilter(self)

    def show(self, shown: bool) -> None:
        """Show the lines or take them away."""
        self.is_shown = shown
        for line in (self.across, self.down):
            line.setVisible(shown)
        self.settle()

    def settle(self) -> None:
        """Put the lines through the place: napari's zoom is pixels per millimetre."""
        dims, seen = self.pane.model.dims, camera(self.pane.model)
        if not self.is_shown or dims.ndisplay != 2 or dims.ndim != 3:
            return
        vertical, horizontal = dims.displayed
        width, height = self.pane.native.width(), self.pane.native.height()
        x = width / 2 + (dims.point[horizontal] - seen.center[-1]) * seen.zoom
        y = height / 2 + (dims.point[vertical] - seen.center[-2]) * seen.zoom
        self.across.setGeometry(0, round(y), width, 1)
        self.down.setGeometry(round(x), 0, 1, height)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Follow the size of the picture."""
        if event.type() == QEvent.Type.Resize:
            self.settle()
        return False


def _line(native: QWidget) -> QWidget:
    line = QWidget(native)
    line.setStyleSheet(STYLE)
    line.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    line.hide()
    return line
