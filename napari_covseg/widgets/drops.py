"""A scan dropped anywhere on the window is put on the bench, read by the compute thread; napari takes the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_covseg.io import format_of, is_named_labels

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk

SCANS = ("NIfTI", "DICOM", "NRRD", "MetaImage")
ENTERS = (QEvent.Type.DragEnter, QEvent.Type.DragMove)


class Drops(QObject):  # type: ignore[misc]
    """Watches the places of a window that take drops.

    Parameters
    ----------
    desk
        What opens scans.
    """

    def __init__(self, desk: Desk) -> None:
        window = desk.viewer.window._qt_window
        super().__init__(window)
        self.desk = desk
        qt_viewer = desk.viewer.window._qt_viewer
        canvas = qt_viewer.canvas.native
        welcome = [child for child in canvas.findChildren(QWidget) if child.acceptDrops()]
        self.places = [window, qt_viewer, canvas, *welcome]
        window.setAcceptDrops(True)
        for place in self.places:
            place.installEventFilter(self)

    def close(self) -> None:
        """Watch no more."""
        for place in self.places:
            place.removeEventFilter(self)
        self.places = []

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Take one scan; leave anything else to napari."""
        if event.type() not in (*ENTERS, QEvent.Type.Drop):
            return False
        path = scan_in(event.mimeData())
        if path is None:
            return False
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self.desk.attempt(lambda: self.desk.bench.open(path))
        return True


def scan_in(mime: Any) -> Path | None:
    """Return the one scan that is dragged, or None: several files, a label map, or nothing of ours."""
    urls = mime.urls() if mime.hasUrls() else []
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    path = Path(urls[0].toLocalFile())
    try:
        known = path.exists() and format_of(path) in SCANS
    except OSError:
        return path  # the bench says why it cannot be read
    return path if known and not is_named_labels(path) else None
