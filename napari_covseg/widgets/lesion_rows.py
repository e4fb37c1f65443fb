"""The table of lesions in the Review panel: click to go there, sort, relabel, delete; it follows what is painted."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from napari_covseg.io.sentences import count
from napari_covseg.review import Lesion
from napari_covseg.volume import LESIONS
from napari_covseg.widgets import gestures
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.lesion_model import LesionModel, sortable
from napari_covseg.widgets.panel import allow, button, in_a_row, stacked, words

WIDTH, HEIGHT = 286, 150
EMPTY = "No lesions yet: let a network propose (Segment), or choose a class in Review and paint."
COUNTING = "Counting the lesions…"
FIRST = "The lesions of a scan are listed here once it is open."
CHOOSE = "Choose a lesion in the table first."


class LesionRows(QWidget):  # type: ignore[misc]
    """The table, and what can be done with the lesion that is chosen in it.

    Parameters
    ----------
    desk
        Whose scan.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk, self.watch = desk, desk.furniture.lesion_watch
        self.model = LesionModel()
        self.sorted = sortable(self.model)
        self.heading, self.table = words(), LesionView()
        self.table.setModel(self.sorted)
        self.table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        self.relabel = button("Relabel", "Call the chosen lesion something else")
        self.delete = button("Delete", "Delete the chosen lesion; Undo brings it back (Del)")
        self._choosing = False
        self._lay_out()
        self._listen()
        self._show_state()

    @property
    def chosen(self) -> Lesion | None:
        """The lesion that is chosen in the table."""
        rows = self.table.selectionModel().selectedRows()
        return self.model.lesions[self.sorted.mapToSource(rows[0]).row()] if rows else None

    def showEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Begin to count when the table is first seen."""
        super().showEvent(event)
        self._on_opened()

    def _lay_out(self) -> None:
        menu = QMenu(self.relabel)
        for each in LESIONS:
            menu.addAction(each.title).triggered.connect(partial(self._on_relabel, each.value))
        self.relabel.setMenu(menu)
        rows = stacked(self, self.heading, self.table, in_a_row(self.relabel, self.delete, apart=4), apart=4)
        rows.setStretchFactor(self.table, 1)
        rows.addStretch()

    def _listen(self) -> None:
        self.watch.counted.connect(self._on_counted)
        self.watch.shown.connect(self._on_shown)
        self.table.selectionModel().selectionChanged.connect(self._on_chosen)
        self.table.clicked.connect(self._on_chosen)
        self.delete.clicked.connect(self._on_delete)
        self.table.unwanted.connect(self._on_delete)
        self.desk.opened.connect(self._on_opened)
        self.desk.labels_changed.connect(self._on_labels)
        self.desk.states_changed.connect(self._show_state)

    def _on_opened(self) -> None:
        opened = self.desk.bench.current
        if opened is None or not self.isVisible():
            self.watch.end()
        else:
            self.watch.begin(opened)
        self._show_state()

    def _on_labels(self) -> None:
        if not self.model.lesions:
            self._show_state()  # the first ones are being counted

    def _on_counted(self, lesions: tuple[Lesion, ...]) -> None:
        chosen = self.chosen
        self._choosing = True
        try:
            self.model.give(lesions)
            if chosen is not None:
                self._choose(chosen)
        finally:
            self._choosing = False
        self._show_state()

    def _on_shown(self, lesion: Lesion) -> None:
        """Choose the lesion in the table that the reader was led to."""
        self._choosing = True
        try:
            self._choose(lesion)
        finally:
            self._choosing = False
        self._show_state()

    def _choose(self, lesion: Lesion) -> None:
        """Choose the lesion again that was chosen before the table was made anew, where it is still there."""
        for row, each in enumerate(self.model.lesions):
            if (each.value, each.place) == (lesion.value, lesion.place):
                self.table.selectRow(self.sorted.mapFromSource(self.model.index(row, 0)).row())

    def _on_chosen(self) -> None:
        if not self._choosing and (lesion := self.chosen):
            gestures.point_at(self.desk, lesion.place)
        self._show_state()

    def _on_relabel(self, value: int) -> None:
        if lesion := self.chosen:
            gestures.relabel_lesion(self.desk, lesion.place, value)

    def _on_delete(self) -> None:
        if lesion := self.chosen:
            gestures.relabel_lesion(self.desk, lesion.place, 0)

    def _told(self) -> str:
        if lesions := self.model.lesions:
            return f"<b>{count(len(lesions), 'lesion')}</b>"
        return EMPTY if self.watch.is_up_to_date else COUNTING

    def _show_state(self) -> None:
        session, lesions = self.desk.session, self.model.lesions
        self.heading.setText(self._told() if session else FIRST)
        for piece in (self.table, self.relabel, self.delete):
            piece.setVisible(bool(session and lesions))
        refusal = session.refusal if session else ""
        for of in (self.relabel, self.delete):
            allow(of, refusal or ("" if self.chosen else CHOOSE))


class LesionView(QTableView):  # type: ignore[misc]
    """Rows to choose one from; letters are left to the window, whose keys they are."""

    unwanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSortingEnabled(True)
        self.setShowGrid(False)
        self.setMinimumHeight(HEIGHT)
        self.setMinimumWidth(WIDTH)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setIconSize(QSize(12, 12))
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.setToolTip("Click a lesion to go there; click a heading to sort by it")

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Move with the arrows; hand letters on."""
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.unwanted.emit()
        elif event.text().strip() and event.text().isprintable():
            event.ignore()
        else:
            super().keyPressEvent(event)
