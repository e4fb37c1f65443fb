"""Words in a corner of the picture that follow the scan on the bench."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from napari_covseg.widgets.canvas_label import CanvasLabel, Place
from napari_covseg.widgets.picture import Pane

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk


class CanvasNote(ABC):
    """Says what `told` returns, anew whenever a scan is opened and whenever a note of its kind has reason to.

    Parameters
    ----------
    desk
        Whose scan.
    pane
        On which picture.
    """

    place: ClassVar[Place]

    def __init__(self, desk: Desk, pane: Pane) -> None:
        self.desk = desk
        self.label = CanvasLabel(pane.native, self.place)
        desk.opened.connect(self.show)
        self.listen()
        self.show()

    @abstractmethod
    def told(self) -> str:
        """Return the words; nothing where there is nothing to tell."""

    def listen(self) -> None:  # noqa: B027 - not every note needs it
        """Follow what does not change with the scan."""

    def follow(self) -> None:  # noqa: B027 - not every note needs it
        """Follow what is new with every scan: its layers."""

    def close(self) -> None:  # noqa: B027 - not every note needs it
        """Listen no more."""

    def show(self) -> None:
        """Say it."""
        self.follow()
        self.say()

    def say(self) -> None:
        """Say what has changed on the scan that is there."""
        self.label.say(self.told())
