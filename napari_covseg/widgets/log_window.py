"""The log of the open session, in a window of its own: who did what and when, and whether all of it is as written."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QDialog, QFileDialog, QHeaderView, QTableView

from napari_covseg.jobs import Run
from napari_covseg.review.log_lines import Line, Log, shown
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.panel import allow, button, in_a_row, stacked, words
from napari_covseg.widgets.words import kept_line

HEADINGS = ("When", "Reader", "What", "Slices", "Voxels", "Network")
WHAT, SLICES, VOXELS = 2, 3, 4
SIZE = (860, 520)
ROOM = {0: 150, 1: 110, SLICES: 90, VOXELS: 80, 5: 150}
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
READING, NOT_READ = "Reading the log…", "The log could not be read; the state line says why."
WAIT = "Wait until the log is read."

_NOWHERE = QModelIndex()


class LogModel(QAbstractTableModel):  # type: ignore[misc]
    """The lines of a log, the newest first."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: tuple[Line, ...] = ()

    def give(self, lines: tuple[Line, ...]) -> None:
        """Show these lines in place of those before."""
        self.beginResetModel()
        self.lines = lines[::-1]
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Return how many lines there are."""
        return 0 if parent.isValid() else len(self.lines)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Return how many facts each has."""
        return 0 if parent.isValid() else len(HEADINGS)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        """Return a heading."""
        is_heading = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return HEADINGS[section] if is_heading else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a fact as it is shown; all of it, and the row's seal, is in the tooltip."""
        line = self.lines[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return shown(line)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{shown(line)[index.column()]}\nEntry {line.number}, sealed with {line.sealed_with[:12]}"
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == VOXELS:
            return RIGHT
        return None


class LogWindow(QDialog):  # type: ignore[misc]
    """A table, whether the log can be relied on, where its session is, and a button that writes it for spreadsheets.

    Parameters
    ----------
    desk
        Whose session.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.viewer.window._qt_window)
        self.desk = desk
        self.verdict, self.place = words(), words()
        self.model, self.table = LogModel(), QTableView()
        self.again = button("Read again", "Read the log as it stands now")
        self.export = button("Export as CSV…", "Write the log into a file that spreadsheets open")
        self._log: Log | None = None
        self._asked = 0
        self._lay_out()
        self.again.clicked.connect(self.read)
        self.export.clicked.connect(self._on_export)
        desk.opened.connect(self._on_opened)

    def read(self) -> None:
        """Read the log beside the window, and show it when it is there."""
        self._asked += 1
        self._give(None, READING)
        asked, run = self._asked, self.desk.attempt(self.desk.bench.read_log)
        if run is None:
            self._give(None, NOT_READ)
            return
        run.finished.connect(lambda log: self._take(asked, log))
        run.failed.connect(lambda _error: self._give(None, NOT_READ))

    def write(self, path: Path) -> Run[Path] | None:
        """Write what is shown into a file."""
        log = self._log
        run = self.desk.attempt(lambda: self.desk.bench.exports.log(log, path)) if log is not None else None
        if run is not None:
            run.finished.connect(lambda file: self.desk.bench.said.emit(f"The log was written: {file}"))
        return run

    def _lay_out(self) -> None:
        self.resize(*SIZE)
        self.table.setModel(self.model)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(WHAT, QHeaderView.ResizeMode.Stretch)
        for column, width in ROOM.items():
            header.resizeSection(column, width)
        rows = stacked(self, self.verdict, self.place, self.table, in_a_row(self.export, self.again, apart=4), apart=6)
        rows.setContentsMargins(8, 8, 8, 8)

    def _take(self, asked: int, log: Log) -> None:
        if asked == self._asked:  # of the session that is open
            warning = "⚠ " if log.doubts else ""
            self._give(log, f"{warning}{log.verdict} Read {datetime.now():%H:%M:%S}.")

    def _give(self, log: Log | None, said: str) -> None:
        self._log = log
        self.setWindowTitle(f"Log of {log.scan}" if log else "Log")
        self.model.give(log.lines if log else ())
        self.verdict.setText(said)
        self.place.setText(kept_line(log.session if log else None))
        allow(self.export, "" if log else WAIT)

    def _on_opened(self) -> None:
        self._asked += 1
        if self.isVisible():
            self.read()
        else:
            self._give(None, "")

    def _on_export(self) -> None:
        if self._log is None:
            return
        start = str(Path.home() / f"{self._log.scan}_log.csv")
        path, _ = QFileDialog.getSaveFileName(self, "Export the log", start, "Table (*.csv)")
        if path:
            self.write(Path(path))
