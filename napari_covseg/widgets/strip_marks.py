"""What is drawn on the slice strip beside the bars: reviewed ticks, the scale, and where the reader is."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF

from napari_covseg.widgets.strip_picture import span

BARS_TOP, BARS_HEIGHT = 14, 44
TICKS_TOP, TICKS_HEIGHT = 62, 8
REVIEWED = QColor("#4ade80")
EDGE, WORDS_HEIGHT = 4, 16
NOTHING_LABELLED = "Nothing is labelled yet: press Segment, or choose a class and paint."


def draw_ticks(painter: QPainter, reviewed: Iterable[int], width: int, depth: int) -> None:
    """Draw a tick below every reviewed slice."""
    for index in reviewed:
        start, end = span(index, width, depth)
        painter.fillRect(QRectF(start, TICKS_TOP, max(end - start, 1.0), TICKS_HEIGHT), REVIEWED)


def draw_scale(painter: QPainter, most_ml: float, colour: QColor, here_px: float, width: int) -> None:
    """Write how much the highest bar is, or what to do first; at the left, or at the right where the reader is left."""
    said = f"{most_ml:.1f} mL" if most_ml > 0 else NOTHING_LABELLED
    painter.setPen(colour)
    wide = painter.fontMetrics().horizontalAdvance(said)
    painter.drawText(words_place(here_px, wide, width), Qt.AlignmentFlag.AlignVCenter, said)


def words_place(here_px: float, wide_px: int, width: int) -> QRectF:
    """Return where words stand on the strip, clear of the mark of where the reader is."""
    is_clear = here_px > EDGE + wide_px + EDGE
    return QRectF(EDGE if is_clear else width - EDGE - wide_px, BARS_TOP, wide_px + 1, WORDS_HEIGHT)


def here(index: int, width: int, depth: int) -> float:
    """Return the middle of the slice that the reader is on."""
    return sum(span(index, width, depth)) / 2


def draw_here(painter: QPainter, middle: float, colour: QColor) -> None:
    """Draw where the reader is: a line with a head."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(colour, 1.5))
    painter.drawLine(QPointF(middle, BARS_TOP - 2), QPointF(middle, TICKS_TOP + TICKS_HEIGHT))
    painter.setBrush(colour)
    painter.drawPolygon(QPolygonF([QPointF(middle + x, BARS_TOP - y) for x, y in ((0, 0), (-5, 8), (5, 8))]))
