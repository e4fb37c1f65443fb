"""What is dropped on the window: a scan goes on the bench, a folder of scans on the worklist, no file to napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_covseg.io import format_of, is_named_labels
from napari_covseg.io.formats import KNOWN
from napari_covseg.io.scans_in import is_list_of_scans, only_scan_in
from napari_covseg.io.sentences import count

if TYPE_CHECKING:
    from napari_covseg.review.worklist import Worklist
    from napari_covseg.widgets.benches import Desk

OPEN = "Open"
SEVERAL = "Drop one scan at a time; for several scans, or one in many files, drop the folder that holds them."
ELSEWHERE = "{} is not on this computer; save it here first, then drop it."
MASK = "{} is a label map by its name, and no scan; drop the scan that it belongs to."
LISTED = "{}: {} on the worklist. Next scan, in Open, opens the first that nobody has read."
NOTHING = "There is no chest CT in {}; CovSeg opens {}. Anything else comes by napari's File menu."
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
        """Take files and folders, so that napari never asks who should read them; leave anything else to napari."""
        if event.type() not in (*ENTERS, QEvent.Type.Drop):
            return False
        urls = event.mimeData().urls() if event.mimeData().hasUrls() else []
        if not urls:
            return False
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self.desk.attempt(lambda: self._take(urls))
        return True

    def _take(self, urls: list[Any]) -> None:
        """Open what is meant; raise a sentence where no scan can be."""
        if len(urls) != 1:
            raise ValueError(SEVERAL)
        if not urls[0].isLocalFile():
            raise ValueError(ELSEWHERE.format(urls[0].toDisplayString()))
        path = Path(urls[0].toLocalFile())
        if path.is_dir() and is_list_of_scans(path):
            self.desk.wanted.emit(OPEN)
            self.desk.bench.list_scans(path).finished.connect(self._tell_of)
        else:
            self.desk.bench.open(scan_meant(path))

    def _tell_of(self, worklist: Worklist) -> None:
        scans = self.desk.ask(worklist.entries)
        if scans is not None:
            self.desk.bench.said.emit(LISTED.format(worklist.folder.name, count(len(scans), "scan")))


def scan_meant(path: Path) -> Path:
    """Return the scan that a dropped file or folder is or holds.

    Raises
    ------
    ValueError
        If it is a label map by its name, or no scan that CovSeg opens.
    OSError
        If it may not be read.
    """
    if path.exists() and path.is_file() and is_named_labels(path):
        raise ValueError(MASK.format(path.name))
    if not path.exists() or format_of(path) is not None:
        return path  # the bench says why it cannot be read
    if path.is_dir() and (scan := only_scan_in(path)) is not None:
        return scan
    raise ValueError(NOTHING.format(path.name, KNOWN))
