"""The icons of the tools: a few strokes each, drawn here in the colour of the theme's words."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtCore import QByteArray, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QAbstractButton

from napari_covseg.widgets.theme import theme_of

SIZE_PX = 13
SHARP = 4
"""Pixels drawn per pixel of the icon, for screens that have them."""

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><g fill="none" stroke="{colour}" stroke-width="1.6" '
    'stroke-linecap="round" stroke-linejoin="round">{drawn}</g></svg>'
)
FILLED = 'fill="{colour}" fill-rule="evenodd"'
DRAWN = {
    "Move": '<path d="M8 1.5V14.5M1.5 8H14.5M6 3.5L8 1.5L10 3.5M6 12.5L8 14.5L10 12.5M3.5 6L1.5 8L3.5 10M12.5 6L14.5 8'
    'L12.5 10"/>',
    "Paint": '<path d="M14 2L8 8.5"/><path ' + FILLED + ' d="M7 8.5C4 8.5 4.5 12 2 13.5C6 14.5 8.5 13 8.5 10Z"/>',
    "Erase": '<path d="M6 13.5L2 9.5L9 2.5L13.5 7L7 13.5ZM5.5 6L10 10.5M7 13.5H14"/>',
    "Fill": "<path " + FILLED + ' d="M2.5 8.5H12L7.5 13Z"/><path d="M2.5 8.5L7.5 3L12.5 8L7.5 13ZM14.5 11V13.5"/>',
    "Grow": "<circle " + FILLED + ' cx="8" cy="8" r="1.8"/><circle cx="8" cy="8" r="6.2" stroke-dasharray="2.4 2.5"/>',
    "Interpolate": '<path d="M2.5 3H13.5M2.5 13H13.5"/><path stroke-dasharray="1.5 2.8" d="M2.5 8H13.5"/>',
    "Relabel": '<path d="M2 2.5H8L14 8.5L8.5 14L2 8Z"/><circle ' + FILLED + ' cx="5" cy="5.5" r="0.7"/>',
    "Density": '<circle cx="8" cy="8" r="6"/><path ' + FILLED + ' d="M8 2A6 6 0 0 1 8 14Z"/>',
    "Delete": '<path d="M2.5 4.5H13.5M6 4.5V2H10V4.5M4.2 4.5L5 14H11L11.8 4.5"/>',
    "Accept": '<path d="M2 8.5L6.5 13L14 3.5"/>',
    "Islands": "<circle " + FILLED + ' cx="5.5" cy="6.5" r="3.7"/><path d="M11 10.5L14.5 14M14.5 10.5L11 14"/>',
    "Holes": "<path "
    + FILLED
    + ' d="M8 2A6 6 0 0 1 8 14A6 6 0 0 1 8 2ZM8 5.7A2.3 2.3 0 0 0 8 10.3A2.3 2.3 0 0 0 8 5.7Z"/>',
    "Smooth": '<path d="M1.5 11.5C4 2 6.5 3 8 8S12.5 13.5 14.5 4.5"/>',
    "Largest": "<circle " + FILLED + ' cx="6.5" cy="6.5" r="4.7"/><circle cx="13" cy="13" r="1.6"/>',
    "Copy ↑": '<path d="M2 9.5H9V14H2ZM12.5 14V3M10 5.5L12.5 3L15 5.5"/>',
    "Copy ↓": '<path d="M2 2H9V6.5H2ZM12.5 2V13M10 10.5L12.5 13L15 10.5"/>',
}


def dress(viewer: Viewer, buttons: dict[str, QAbstractButton]) -> None:
    """Put the icons of the tools on their buttons, by name, in the theme that is shown."""
    colour = theme_of(viewer).text
    for name, button in buttons.items():
        button.setIcon(icon(name, colour))
        button.setIconSize(QPixmap(SIZE_PX, SIZE_PX).size())


def icon(name: str, colour: QColor) -> QIcon:
    """Return the icon of a tool."""
    drawn = SVG.format(colour=colour.name(), drawn=DRAWN[name].format(colour=colour.name()))
    pixmap = QPixmap(SIZE_PX * SHARP, SIZE_PX * SHARP)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(drawn.encode())).render(painter, QRectF(pixmap.rect()))
    painter.end()
    pixmap.setDevicePixelRatio(SHARP)
    return QIcon(pixmap)
