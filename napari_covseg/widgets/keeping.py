"""What napari would do to a scan that is being read and must not: take its layers away by a key, ask where to save."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QAction, QKeySequence

from napari_covseg.widgets import gestures

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_covseg.widgets.benches import Desk

KEPT = "The scan and its lesions stay while they are read. H hides the lesions, the eyes in the list hide each layer."


class Keeping(QObject):  # type: ignore[misc]
    """Stands between napari's commands and the scan on the bench.

    Parameters
    ----------
    desk
        Whose scan.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.desk, self.layers = desk, desk.viewer.layers
        self.layers.remove_selected = self._remove_selected  # napari's keys, its bin and its menu all come by here
        self._saving = [action for action in desk.viewer.window.file_menu.actions() if _is_saving(action)]
        for action in self._saving:
            action.installEventFilter(self)

    def close(self) -> None:
        """Leave napari's commands as they were."""
        del self.layers.remove_selected
        for action in self._saving:
            action.removeEventFilter(self)
        self._saving = []

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Say when the scan was saved where the key to save is pressed; the menu still writes layers."""
        if event.type() != QEvent.Type.Shortcut or self.desk.session is None:
            return False
        gestures.tell_saved(self.desk)
        return True

    def _remove_selected(self) -> None:
        ours = {layer for layer in self.layers.selection if self._is_read(layer)}
        self.layers.selection.difference_update(ours)
        type(self.layers).remove_selected(self.layers)
        if ours:
            self.layers.selection = ours  # napari chose a neighbour of what went
            self.desk.bench.said.emit(KEPT)

    def _is_read(self, layer: Layer) -> bool:
        link = self.desk.link
        return link.layers is not None and any(layer is each for each in (*link.layers, link.lungs.layer))


def _is_saving(action: QAction) -> bool:
    return bool(action.shortcut() == QKeySequence(QKeySequence.StandardKey.Save))
