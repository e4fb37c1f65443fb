"""What the colours on the picture mean: colour and name of every class that is in the scan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_covseg.volume import LESIONS, LUNGS
from napari_covseg.widgets.canvas_label import CanvasLabel
from napari_covseg.widgets.picture import Pane

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk


class Legend:
    """Stands in a corner of the picture.

    Parameters
    ----------
    desk
        Whose scan.
    pane
        On which picture.
    """

    def __init__(self, desk: Desk, pane: Pane) -> None:
        self.desk = desk
        self.label = CanvasLabel(pane.native, "top_left")
        desk.opened.connect(self._on_opened)
        desk.labels_changed.connect(self._show)
        desk.lungs_shown.connect(self._show)
        self._on_opened()

    def _on_opened(self) -> None:
        if layers := self.desk.link.layers:
            layers.lesions.events.visible.connect(self._show)
        self._show()

    def _show(self) -> None:
        self.label.say("<br>".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        link = self.desk.link
        if link.layers is None or link.tally is None:
            return
        totals_ml = link.tally.totals_ml
        for each in LESIONS:
            if totals_ml[each.name] and link.layers.lesions.visible:
                yield swatch_line(each.colour, each.title)
        if link.lungs.is_shown:
            yield swatch_line(LUNGS["lung"].colour, "Lung", outline=True)


def swatch_line(colour: str, title: str, *, outline: bool = False) -> str:
    """Return a title with its colour before it."""
    return f'<span style="color:{colour}">{"□" if outline else "■"}</span> {title}'
