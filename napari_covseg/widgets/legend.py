"""What the colours on the picture mean: colour and name of every class that is in the scan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from napari_covseg.volume import LESIONS, LUNGS
from napari_covseg.widgets.canvas_label import Place
from napari_covseg.widgets.canvas_note import CanvasNote


class Legend(CanvasNote):
    """The classes that are there and can be seen."""

    place: ClassVar[Place] = "top_left"

    def listen(self) -> None:
        """Follow what is labelled, and the lungs."""
        self.desk.labels_changed.connect(self.say)
        self.desk.lungs_shown.connect(self.say)

    def follow(self) -> None:
        """Follow whether the lesions are shown."""
        if layers := self.desk.link.layers:
            layers.lesions.events.visible.connect(self.say)

    def told(self) -> str:
        """Return a line for each."""
        return "<br>".join(self._lines())

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
