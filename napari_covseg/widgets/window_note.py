"""Which Hounsfield units are black and white, in the corner of the picture: level and width, as radiologists say it."""

from __future__ import annotations

from typing import ClassVar

from napari_covseg.widgets.canvas_label import Place
from napari_covseg.widgets.canvas_note import CanvasNote
from napari_covseg.widgets.windows import level_and_width, preset_of
from napari_covseg.widgets.words import signed


class WindowNote(CanvasNote):
    """The preset, where it is one, level and width."""

    place: ClassVar[Place] = "bottom_left"

    def follow(self) -> None:
        """Follow the scan's own window."""
        if layers := self.desk.link.layers:
            layers.scan.events.contrast_limits.connect(self.say)

    def told(self) -> str:
        """Return the window in use."""
        layers = self.desk.link.layers
        if layers is None:
            return ""
        low, high = layers.scan.contrast_limits
        preset = preset_of((low, high))
        level_hu, width_hu = level_and_width((low, high))
        named = f"{preset.title}   " if preset else ""
        return f"{named}L {signed(round(level_hu))}  W {round(width_hu)}"
