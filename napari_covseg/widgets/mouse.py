"""The mouse as in a reading room: the wheel scrolls slices, a right-drag sets the window; napari keeps the rest.

Ctrl and wheel zooms. A right click that is no drag is handed on, since in paint mode it begins an outline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_covseg.widgets.layers import is_mid_stroke
from napari_covseg.widgets.picture import Pane, camera
from napari_covseg.widgets.windows import dragged

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

NOTCH = 120
"""Qt counts a notch of the wheel in eighths of a degree; a touch pad sends fractions of it."""

ZOOM_PER_NOTCH = 1.15
DRAG_PX = 4
"""Below this a press and release is a click."""


class Mouse(QObject):  # type: ignore[misc]
    """Listens to the mouse on one picture before napari does.

    Parameters
    ----------
    desk
        Whose scan.
    pane
        On which picture.
    """

    def __init__(self, desk: Desk, pane: Pane) -> None:
        super().__init__(pane.native)
        self.desk, self.pane = desk, pane
        self._pressed_at: QPointF | None = None
        self._limits_hu: tuple[float, float] | None = None
        self._turned = 0
        self._replaying = False
        pane.native.installEventFilter(self)

    def close(self) -> None:
        """Listen no more."""
        self.pane.native.removeEventFilter(self)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Take the wheel and the right button, and leave the rest."""
        layers, kind = self.desk.link.layers, event.type()
        if layers is None or self._replaying or self.pane.model.dims.ndisplay != 2:
            return False
        if kind == QEvent.Type.Wheel:
            return self._on_wheel(event)
        if kind == QEvent.Type.MouseButtonPress and event.button() == Qt.MouseButton.RightButton:
            return self._on_press(event, is_mid_stroke(layers.lesions))
        if kind == QEvent.Type.MouseMove and self._pressed_at is not None:
            return self._on_move(event)
        if kind == QEvent.Type.MouseButtonRelease and event.button() == Qt.MouseButton.RightButton:
            return self._on_release(event)
        return False

    def _on_wheel(self, event: Any) -> bool:
        delta, modifiers = event.angleDelta().y(), event.modifiers()
        if modifiers == Qt.KeyboardModifier.ControlModifier:
            self._zoom(ZOOM_PER_NOTCH ** (delta / NOTCH))
            return True
        if modifiers != Qt.KeyboardModifier.NoModifier:
            return False
        self._turned += delta
        notches = int(self._turned / NOTCH)
        self._turned -= notches * NOTCH
        dims = self.pane.model.dims
        for axis in dims.not_displayed:
            dims.set_current_step(axis, int(np.clip(dims.current_step[axis] - notches, 0, dims.nsteps[axis] - 1)))
        return True

    def _zoom(self, factor: float) -> None:
        """Zoom about the place under the cursor."""
        seen, dims = camera(self.pane.model), self.pane.model.dims
        centre = np.asarray(seen.center, dtype=float)
        place = np.asarray(self.pane.model.cursor.position, dtype=float)[list(dims.displayed)]
        centre[-2:] = place + (centre[-2:] - place) / factor
        seen.zoom *= factor
        seen.center = tuple(centre)

    def _on_press(self, event: QMouseEvent, mid_stroke: bool) -> bool:
        if mid_stroke or self.desk.link.layers is None or event.modifiers() != Qt.KeyboardModifier.NoModifier:
            return False
        self._pressed_at, self._limits_hu = QPointF(event.position()), None
        return True

    def _on_move(self, event: QMouseEvent) -> bool:
        layers = self.desk.link.layers
        if layers is None or self._pressed_at is None:
            return False
        moved = event.position() - self._pressed_at
        if self._limits_hu is None:
            if moved.manhattanLength() < DRAG_PX:
                return True
            low, high = layers.scan.contrast_limits
            self._limits_hu = (low, high)
        layers.scan.contrast_limits = dragged(self._limits_hu, moved.x(), -moved.y())
        return True

    def _on_release(self, event: QMouseEvent) -> bool:
        at, dragging, self._pressed_at = self._pressed_at, self._limits_hu is not None, None
        if at is None:
            return False
        if not dragging:
            self._replay(at, event)
        return True

    def _replay(self, at: QPointF, event: QMouseEvent) -> None:
        """Hand on the click that was held back."""
        right, none = Qt.MouseButton.RightButton, Qt.MouseButton.NoButton
        self._replaying = True
        try:
            for kind, held in ((QEvent.Type.MouseButtonPress, right), (QEvent.Type.MouseButtonRelease, none)):
                again = QMouseEvent(kind, at, event.globalPosition(), right, held, Qt.KeyboardModifier.NoModifier)
                QApplication.sendEvent(self.pane.native, again)
        finally:
            self._replaying = False
