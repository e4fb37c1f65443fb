"""What stands in the reading room beside the panels: the marks on the picture, the mouse, the list of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_covseg.widgets.cheat_sheet import CheatSheet
from napari_covseg.widgets.compare import Compare
from napari_covseg.widgets.edge_letters import EdgeLetters
from napari_covseg.widgets.fitting import Fitting
from napari_covseg.widgets.grip import Grip
from napari_covseg.widgets.keyboard import FocusFollower
from napari_covseg.widgets.keys import KEYS
from napari_covseg.widgets.layer_list import QuietList
from napari_covseg.widgets.layers import is_ours
from napari_covseg.widgets.legend import Legend
from napari_covseg.widgets.lesion_watch import LesionWatch
from napari_covseg.widgets.looks import Looks
from napari_covseg.widgets.mouse import Mouse
from napari_covseg.widgets.next_slice import NextSlice
from napari_covseg.widgets.ortho import OrthoViews
from napari_covseg.widgets.outline_width import OutlineWidth
from napari_covseg.widgets.picture import fit, pane_of
from napari_covseg.widgets.slice_note import SliceNote
from napari_covseg.widgets.strip import Strip
from napari_covseg.widgets.window_note import WindowNote

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

STRIP = "Slices"
SPACE = 3
HINT = "? shows all keys"


class Closable(Protocol):
    """Something that listens until it is closed."""

    def close(self) -> object:
        """Listen no more."""


class Furniture:
    """All of it, in one place.

    Parameters
    ----------
    desk
        Whose room.
    """

    def __init__(self, desk: Desk) -> None:
        pane = pane_of(desk.viewer)
        self.note, self.letters = SliceNote(desk, pane), EdgeLetters(desk, pane)
        self.legend, self.window_note = Legend(desk, pane), WindowNote(desk, pane)
        self.ortho, self.compare = OrthoViews(desk), Compare(desk, pane)
        self.mouse, self.outline_width = Mouse(desk, pane), OutlineWidth(desk, pane)
        self.fitting, self.grip = Fitting(pane), Grip(desk)
        self.looks, self.next_slice = Looks(desk), NextSlice(desk)
        self.lesion_watch, self.layer_list = LesionWatch(desk), QuietList(desk.viewer)
        self.viewer, self.strip = desk.viewer, Strip(desk)
        self._strip_dock: QDockWidget | None = None
        self._fit_later = QTimer()
        self._fit_later.setSingleShot(True)
        self._fit_later.timeout.connect(self._fit)
        desk.opened.connect(self._place_strip)
        self.viewer.events.help.connect(self._hint)
        for event in self._coming_and_going():
            event.connect(self._show_slider)
        self.focus_ring = FocusFollower(desk.viewer)
        self.cheat_sheet = CheatSheet(desk.viewer.window._qt_window, pane.native, KEYS)

    def _coming_and_going(self) -> tuple[Any, Any]:
        return self.viewer.layers.events.inserted, self.viewer.layers.events.removed

    def _place_strip(self) -> None:
        """Put the strip under the picture when the first scan comes; whoever closes it finds it in the Window menu."""
        if self._strip_dock is None:
            dock = self.viewer.window.add_dock_widget(self.strip, name=STRIP, area="bottom")
            dock.setTitleBarWidget(QWidget())
            self._strip_dock = dock
            self._fit_later.start()  # the strip takes its height from the picture after a turn of Qt's loop

    def _show_slider(self) -> None:
        """Let the strip stand in for napari's slider, which counts slices from 0, while a scan of ours is there."""
        layers = self.viewer.layers
        ours = any(is_ours(layer) for layer in layers) and all(layer.ndim <= SPACE for layer in layers)
        self.viewer.window._qt_viewer.dims.setHidden(ours)

    def _fit(self) -> None:
        fit(self.viewer)

    def _hint(self) -> None:
        """Say where the keys are told, in place of napari's list of numbers."""
        if self.viewer.help != HINT and any(is_ours(layer) for layer in self.viewer.layers):
            self.viewer.help = HINT

    def close(self) -> None:
        """Listen no more."""
        self.viewer.events.help.disconnect(self._hint)
        for event in self._coming_and_going():
            event.disconnect(self._show_slider)
        self.strip.close_down()
        self._fit_later.stop()
        self.lesion_watch.end()
        closable: tuple[Closable, ...] = (
            self.note,
            self.letters,
            self.mouse,
            self.outline_width,
            self.ortho,
            self.looks,
            self.next_slice,
            self.layer_list,
            self.focus_ring,
            self.fitting,
            self.grip,
        )
        for piece in closable:
            piece.close()
