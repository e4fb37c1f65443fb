"""The slice strip under the picture: how much of what is on each slice, which are reviewed, and where the reader is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_covseg.volume import LESIONS
from napari_covseg.widgets import gestures
from napari_covseg.widgets.next_slice import LEAST_ML
from napari_covseg.widgets.strip_marks import BARS_HEIGHT, BARS_TOP, draw_here, draw_scale, draw_ticks, here
from napari_covseg.widgets.strip_picture import Millilitres, Pixels, bars, heat, slice_at
from napari_covseg.widgets.theme import theme_of

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

HEIGHT = 76
UNCERTAIN = QRectF(0, 2, 0, 9)
UNSURE = QColor("#f97316")
HELP = (
    "Millilitres on each slice, apex on the left; orange above: the network is unsure; green below: reviewed. "
    "Click or drag to go there."
)


class Strip(QWidget):  # type: ignore[misc]
    """A bar for each slice; click or drag to go there.

    Parameters
    ----------
    desk
        Whose scan.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._uncertainty: Millilitres | None = None
        self._bars: QImage | None = None
        self._most_ml = 0.0
        self.setFixedHeight(HEIGHT)
        self.setMinimumWidth(200)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(HELP)
        desk.opened.connect(self._on_opened)
        desk.labels_changed.connect(self._on_labels)
        desk.states_changed.connect(self.update)
        desk.weighed.connect(self._on_weighed)
        desk.viewer.dims.events.current_step.connect(self._on_step)
        desk.viewer.events.theme.connect(self._on_step)

    def close_down(self) -> None:
        """Listen no more."""
        self.desk.viewer.dims.events.current_step.disconnect(self._on_step)
        self.desk.viewer.events.theme.disconnect(self._on_step)

    def show_uncertainty(self, per_slice: Millilitres | None) -> None:
        """Show above the bars how unsure each slice is, 0 … 1; None takes that away."""
        self._uncertainty = per_slice
        self.update()

    def told(self, index: int) -> str:
        """Return what a slice holds, in one line."""
        session, tally = self.desk.session, self.desk.link.tally
        if session is None or tally is None:
            return HELP
        held = ((each.title, tally.per_slice[each.name][index]) for each in LESIONS)
        parts = [f"{title.lower()} {ml:.1f} mL" for title, ml in held if ml > 0]
        reviewed = " · reviewed ✓" if index in session.marks else ""
        held_here = ", ".join(parts) or "nothing labelled"
        return f"Slice {index + 1} of {self.depth}: {held_here}{self._doubt(index)}{reviewed}"

    def _doubt(self, index: int) -> str:
        opened = self.desk.bench.current
        unsure = np.nan_to_num(opened.proposals.uncertain_voxels[index]) if opened else 0.0
        ml = float(unsure) * (opened.scan.geometry.voxel_ml if opened else 0.0)
        return f" · network unsure of {ml:.1f} mL" if ml >= LEAST_ML else ""

    @property
    def depth(self) -> int:
        """How many slices the scan has; 0 while none is open."""
        session = self.desk.session
        return session.geometry.shape[0] if session else 0

    def paintEvent(self, _event: object) -> None:  # noqa: N802 - Qt's name
        """Draw it all; the bars are pixels that are there already unless a class changed."""
        painter = QPainter(self)
        theme = theme_of(self.desk.viewer)
        painter.fillRect(self.rect(), theme.background)
        if self.depth == 0:
            painter.setPen(theme.text)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Open a scan; its slices stand here.")
            return
        if self._bars is None:
            self._bars = self._painted_bars()
        painter.fillRect(QRectF(0, BARS_TOP, self.width(), BARS_HEIGHT), theme.foreground)
        painter.drawImage(0, BARS_TOP, self._bars)
        if self._uncertainty is not None:
            size = (int(UNCERTAIN.height()), self.width())
            painter.drawImage(0, int(UNCERTAIN.top()), _image(heat(self._uncertainty, _rgb(UNSURE), size)))
        session, size = self.desk.session, (self.width(), self.depth)
        draw_ticks(painter, session.reviewed if session else (), *size)
        here_px = here(gestures.slice_shown(self.desk), *size)
        draw_scale(painter, self._most_ml, theme.text, here_px, self.width())
        draw_here(painter, here_px, theme.text)

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Go to the slice under the mouse."""
        self._go(event)

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Go along while the button is down; otherwise tell what is there."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go(event)
        elif self.depth:
            index = slice_at(event.position().x(), self.width(), self.depth)
            QToolTip.showText(event.globalPosition().toPoint(), self.told(index), self)

    def resizeEvent(self, _event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Paint the bars anew."""
        self._bars = None

    def _go(self, event: Any) -> None:
        if self.depth:
            gestures.go_to(self.desk, slice_at(event.position().x(), self.width(), self.depth))

    def _on_opened(self) -> None:
        self._on_weighed()
        self._on_labels()

    def _on_weighed(self) -> None:
        opened = self.desk.bench.current
        unsure = np.nan_to_num(opened.proposals.uncertain_voxels) if opened else np.zeros(0)
        self.show_uncertainty(unsure / unsure.max() if unsure.any() else None)

    def _on_labels(self) -> None:
        self._bars = None
        self.update()

    def _on_step(self) -> None:
        self.update()

    def _painted_bars(self) -> QImage:
        tally = self.desk.link.tally
        zero = np.zeros(self.depth)
        per_class = [tally.per_slice[each.name] if tally else zero for each in LESIONS]
        self._most_ml = float(np.sum(per_class, axis=0).max())
        return _image(bars(per_class, [_rgb(QColor(each.colour)) for each in LESIONS], (BARS_HEIGHT, self.width())))


def _rgb(colour: QColor) -> tuple[int, int, int]:
    return colour.red(), colour.green(), colour.blue()


def _image(pixels: Pixels) -> QImage:
    height, width, _ = pixels.shape
    return QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32).copy()
