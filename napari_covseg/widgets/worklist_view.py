"""The worklist as a table: scan, state, reader, minutes; a click on a heading asks for another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

if TYPE_CHECKING:
    from napari_covseg.review.worklist import Entry, SortedBy

COLUMNS: tuple[tuple[str, SortedBy], ...] = (
    ("Scan", "name"),
    ("State", "state"),
    ("Reader", "reader"),
    ("min", "minutes"),
)
SIGNS = {"signed": "signed ✓"}
LEAST_HEIGHT = 150


class WorklistView(QTableWidget):  # type: ignore[misc]
    """Shows entries in the order they come in, and tells what the reader asks for."""

    chosen = Signal()
    wanted = Signal()
    reordered = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.entries: tuple[Entry, ...] = ()
        self.setHorizontalHeaderLabels([title for title, _ in COLUMNS])
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setMinimumHeight(LEAST_HEIGHT)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSortIndicatorShown(True)
        header.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        for column in range(len(COLUMNS)):
            stretched = QHeaderView.ResizeMode.Stretch if column == 0 else QHeaderView.ResizeMode.ResizeToContents
            header.setSectionResizeMode(column, stretched)
        header.sortIndicatorChanged.connect(self._on_order)
        self.itemSelectionChanged.connect(self.chosen)
        self.cellDoubleClicked.connect(lambda *_: self.wanted.emit())
        self.setToolTip("Double-click or Enter opens a scan; click a heading to sort by it")

    @property
    def entry(self) -> Entry | None:
        """The entry that is chosen."""
        rows = self.selectionModel().selectedRows()
        return self.entries[rows[0].row()] if rows else None

    def show_entries(self, entries: Sequence[Entry]) -> None:
        """Show these; what was chosen stays so."""
        before = self.entry.path if self.entry else None
        self.entries = tuple(entries)
        self.blockSignals(True)
        self.clearSelection()
        self.setRowCount(len(self.entries))
        for row, entry in enumerate(self.entries):
            for column, text in enumerate(shown(entry)):
                self.setItem(row, column, _cell(text, entry, column))
            if entry.path == before:
                self.selectRow(row)
        self.blockSignals(False)
        self.chosen.emit()

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Open with Enter; move with the arrows; hand letters on."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.wanted.emit()
        elif event.text().strip() and event.text().isprintable():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def _on_order(self, column: int, order: Qt.SortOrder) -> None:
        self.reordered.emit(COLUMNS[column][1], order == Qt.SortOrder.DescendingOrder)


def shown(entry: Entry) -> tuple[str, str, str, str]:
    """Return what is shown of a scan."""
    minutes = f"{entry.minutes:.0f}" if entry.minutes >= 0.5 else ""
    return entry.name, SIGNS.get(entry.state, entry.state), entry.reader, minutes


def _cell(text: str, entry: Entry, column: int) -> QTableWidgetItem:
    cell = QTableWidgetItem(text)
    cell.setToolTip(f"{entry.path}\nRejected: {entry.note}" if entry.note else str(entry.path))
    if column == len(COLUMNS) - 1:
        cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return cell
