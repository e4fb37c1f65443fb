"""The colours of the window's theme, for what we draw ourselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtpy.QtGui import QColor

ON_DARK, ON_LIGHT = "#7dd3fc", "#075985"
"""Of the ring: more than 4.5 : 1 on background and buttons of napari's themes."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Background, what stands out from it, words, and the ring around what the keyboard works on."""

    background: QColor
    foreground: QColor
    text: QColor
    focus: QColor


def theme_of(viewer: Any = None) -> Theme:
    """Return the theme of a viewer, or the one that is set for napari."""
    from napari.settings import get_settings
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme if viewer is not None else get_settings().appearance.theme)
    found = (theme.background, theme.foreground, theme.text)
    background, foreground, text = (QColor(each.as_hex()) for each in found)
    is_dark = background.lightnessF() < text.lightnessF()
    return Theme(background, foreground, text, QColor(ON_DARK if is_dark else ON_LIGHT))
