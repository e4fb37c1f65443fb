"""What is drawn on the slice strip beside the bars: reviewed ticks, the scale, and where the reader is."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF

from napari_covseg.widgets.strip_picture import span

BARS_TOP, BARS_HEIGHT = 14, 44
TICKS_TOP, TICKS_HEIGHT = 62, 8
REVIEWED = QColor("#4ade80")
WORDS_LEFT, WORDS_WIDTH, WORDS_HEIGHT = 4, 560, 16
NOTHING_LABELLED = "Nothing is labelled yet: press Segment, or choose a class and paint."


def draw_ticks(painter: QPainter, reviewed: Iterable[int], width: int, depth: int) -> None:
    """Draw a tick below every reviewed slice."""
    for index in reviewed:
        start, end = span(index, width, depth)
        painter.fillRect(QRectF(start, TICKS_TOP, max(end - start, 1.0), TICKS_HEIGHT), REVIEWED)


def draw_scale(painter: QPainter, most_ml: float, colour: QColor) -> None:
    """Write how much the highest bar is; where there is none, what to do first."""
    said = f"{most_ml:.1f} mL" if most_ml > 0 else NOTHING_LABELLED
    painter.setPen(colour)
    place = QRectF(WORDS_LEFT, BARS_TOP, WORDS_WIDTH, WORDS_HEIGHT)
    painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, said)


def draw_here(painter: QPainter, index: int, colour: QColor, width: int, depth: int) -> None:
    """Draw where the reader is: a line with a head."""
    start, end = span(index, width, depth)
    middle = (start + end) / 2
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(colour, 1.5))
    painter.drawLine(QPointF(middle, BARS_TOP - 2), QPointF(middle, TICKS_TOP + TICKS_HEIGHT))
    painter.setBrush(colour)
    painter.drawPolygon(QPolygonF([QPointF(middle + x, BARS_TOP - y) for x, y in ((0, 0), (-5, 8), (5, 8))]))
