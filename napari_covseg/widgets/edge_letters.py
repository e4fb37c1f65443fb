"""R, L, A, P, S and I at the edges of the picture, so that sides are never guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_covseg.widgets.canvas_label import STYLE, CanvasLabel, Place
from napari_covseg.widgets.orientation import edges
from napari_covseg.widgets.picture import Pane, camera

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

PLACES: tuple[Place, ...] = ("left", "right", "top", "bottom")
LARGER = STYLE + "QLabel { font-size: 15px; font-weight: bold; }"


class EdgeLetters:
    """Keeps the letters right, also after the axes were transposed or the camera was turned over.

    Parameters
    ----------
    desk
        Whose scan.
    pane
        On which picture.
    """

    def __init__(self, desk: Desk, pane: Pane) -> None:
        self.desk, self.pane = desk, pane
        self.labels = {place: CanvasLabel(pane.native, place) for place in PLACES}
        for label in self.labels.values():
            label.setStyleSheet(LARGER)
        desk.opened.connect(self.show)
        pane.model.dims.events.order.connect(self.show)
        pane.model.dims.events.ndisplay.connect(self.show)
        camera(pane.model).events.orientation.connect(self.show)
        self.show()

    def close(self) -> None:
        """Listen no more."""
        self.pane.model.dims.events.order.disconnect(self.show)
        self.pane.model.dims.events.ndisplay.disconnect(self.show)
        camera(self.pane.model).events.orientation.disconnect(self.show)

    def show(self) -> None:
        """Tell the sides of what is shown; nothing in 3-D, where the picture can be turned."""
        opened, dims = self.desk.bench.current, self.pane.model.dims
        if opened is None or dims.ndisplay != 2 or dims.ndim != 3:
            letters = dict.fromkeys(PLACES, "")
        else:
            axes = tuple(str(each) for each in camera(self.pane.model).orientation2d)
            at = edges(opened.scan.geometry, dims.displayed, (axes[0], axes[1]))
            letters = {place: getattr(at, place) for place in PLACES}
        for place, label in self.labels.items():
            label.say(letters[place])
