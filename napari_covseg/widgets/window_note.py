"""Which Hounsfield units are black and white, in the corner of the picture: level and width, as radiologists say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_covseg.widgets.canvas_label import CanvasLabel
from napari_covseg.widgets.picture import Pane
from napari_covseg.widgets.windows import level_and_width, preset_of
from napari_covseg.widgets.words import signed

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk


class WindowNote:
    """Keeps the note up to date.

    Parameters
    ----------
    desk
        Whose scan.
    pane
        On which picture.
    """

    def __init__(self, desk: Desk, pane: Pane) -> None:
        self.desk = desk
        self.label = CanvasLabel(pane.native, "bottom_left")
        desk.opened.connect(self._on_opened)
        self._on_opened()

    def _on_opened(self) -> None:
        if layers := self.desk.link.layers:
            layers.scan.events.contrast_limits.connect(self._show)
            self._show()

    def _show(self) -> None:
        layers = self.desk.link.layers
        if layers is None:
            return
        low, high = layers.scan.contrast_limits
        preset = preset_of((low, high))
        level_hu, width_hu = level_and_width((low, high))
        named = f"{preset.title}   " if preset else ""
        self.label.say(f"{named}L {signed(round(level_hu))}  W {round(width_hu)}")
