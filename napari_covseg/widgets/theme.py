"""The colours of the window's theme, for what we draw ourselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtpy.QtGui import QColor


@dataclass(frozen=True, slots=True)
class Theme:
    """Background, what stands out from it, and words."""

    background: QColor
    foreground: QColor
    text: QColor


def theme_of(viewer: Any = None) -> Theme:
    """Return the theme of a viewer, or the one that is set for napari."""
    from napari.settings import get_settings
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme if viewer is not None else get_settings().appearance.theme)
    found = (theme.background, theme.foreground, theme.text)
    return Theme(*(QColor(each.as_hex()) for each in found))
