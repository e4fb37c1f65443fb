"""The worklist in the Open panel: a folder of scans, the state of each, and the next one to read."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QFileDialog, QLineEdit, QWidget

from napari_covseg.io.sentences import count
from napari_covseg.review.reader_names import same_reader
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.list_name_row import ListNameRow
from napari_covseg.widgets.panel import allow, button, in_a_row, stacked, words
from napari_covseg.widgets.worklist_view import WorklistView

if TYPE_CHECKING:
    from napari_covseg.review.worklist import SortedBy, Worklist

CHOOSE = "Choose a scan in the list first."
STILL_OPEN = "{} is anybody's now. It is still open here: marking or signing it takes it again."
STILL_YOURS = "You still have {} in review: sign it, reject it or put it back, and the next one opens."


class WorklistRows(QWidget):  # type: ignore[misc]
    """Everything about the worklist; only a button until a folder is chosen.

    Parameters
    ----------
    desk
        What opens scans.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._is_begun = False
        self._order: tuple[SortedBy, bool] = ("name", False)
        self.folder_button = button("Worklist of a folder…", "Choose a folder of scans to read one after the other")
        self.next_button = button("Next scan", "Open the next scan of the worklist that nobody has read", big=True)
        self.heading, self.view, self.search, self.why = words(), WorklistView(), QLineEdit(), QLineEdit()
        self.which = ListNameRow()
        self.open_button = button("Open", "Open the chosen scan (Enter)")
        self.back_button = button("Put back", "Let go of the chosen scan, for anybody to take")
        self.reject_button = button("Reject…", "Say why the chosen scan cannot be read")
        self._lay_out()
        self._listen()
        self._show()

    def choose(self, folder: Path) -> None:
        """Look into a folder and show its worklist."""
        self.desk.attempt(lambda: self.desk.bench.list_scans(folder))

    @property
    def worklist(self) -> Worklist | None:
        """The worklist that the bench follows."""
        return self.desk.bench.shelf.worklist

    def showEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Go on with the worklist of the day before."""
        super().showEvent(event)
        folder = self.desk.bench.remembered.worklist
        if not self._is_begun and folder is not None and folder.is_dir():
            self.choose(folder)
        self._is_begun = True

    def _lay_out(self) -> None:
        self.search.setPlaceholderText("Search names and readers")
        self.search.setClearButtonEnabled(True)
        self.why.setPlaceholderText("Why? Then press Enter")
        self.why.hide()
        last = in_a_row(self.open_button, self.back_button, self.reject_button)
        above = (self.folder_button, self.heading, self.which, self.next_button, self.search, self.view)
        stacked(self, *above, last, self.why, above=8, apart=4)

    def _listen(self) -> None:
        self.folder_button.clicked.connect(self._on_folder)
        self.next_button.clicked.connect(self._on_next)
        self.open_button.clicked.connect(self._on_open)
        self.back_button.clicked.connect(self._on_back)
        self.reject_button.clicked.connect(self._on_reject)
        self.why.returnPressed.connect(self._on_why)
        self.which.named.connect(self._on_named)
        self.search.textChanged.connect(self._show)
        self.view.chosen.connect(self._show_choice)
        self.view.wanted.connect(self._on_open)
        self.view.reordered.connect(self._on_order)
        for signal in (self.desk.opened, self.desk.states_changed, self.desk.runs_changed):
            signal.connect(self._show)
        self.desk.listed.connect(self._on_listed)

    @property
    def _reader(self) -> str:
        return str(self.desk.bench.reader)

    def _on_listed(self, worklist: Worklist) -> None:
        bench = self.desk.bench
        bench.remember(bench.remembered.listed(worklist.folder, worklist.name_given))
        self.desk.ask(lambda: self.which.show_list(worklist))
        self._show()

    def _on_named(self, name: str) -> None:
        worklist = self.worklist
        if worklist is not None:
            run = self.desk.attempt(lambda: self.desk.bench.list_scans(worklist.folder, name=name))
            run.failed.connect(lambda _error: self.which.show_name())

    def _on_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Choose a folder of scans")
        if folder:
            self.choose(Path(folder))

    def _on_order(self, by: SortedBy, descending: bool) -> None:
        self._order = by, descending
        self._show()

    def _on_next(self) -> None:
        bench, worklist = self.desk.bench, self.worklist
        current = bench.current
        here = self.desk.ask(lambda: worklist.entry(current.path)) if worklist and current else None
        if here is not None and here.state == "in review" and same_reader(here.reader, bench.reader):
            bench.said.emit(STILL_YOURS.format(here.name))
        else:
            self.desk.attempt(bench.open_next)
        self._show()

    def _on_open(self) -> None:
        if entry := self.view.entry:
            self.desk.attempt(lambda: self.desk.bench.open(entry.path))

    def _on_back(self) -> None:
        entry, worklist = self.view.entry, self.worklist
        if entry is not None and worklist is not None:
            current = self.desk.bench.current
            is_here = current is not None and current.path.resolve() == Path(entry.path).resolve()
            if self.desk.attempt(lambda: worklist.put_back(entry.path, self._reader)) and is_here:
                self.desk.bench.said.emit(STILL_OPEN.format(entry.name))
            self._show()

    def _on_reject(self) -> None:
        self.why.setVisible(self.why.isHidden())
        self.why.setFocus()

    def _on_why(self) -> None:
        entry, worklist, why = self.view.entry, self.worklist, self.why.text()
        if entry is None or worklist is None:
            return
        if self.desk.attempt(lambda: worklist.reject(entry.path, self._reader, why)):
            self.why.clear()
            self.why.hide()
        self._show()

    def _show(self) -> None:
        worklist = self.worklist
        for piece in (self.next_button, self.search, self.view, self.open_button, self.back_button, self.reject_button):
            piece.setVisible(worklist is not None)
        if worklist is None:
            return
        by, descending = self._order
        searched = self.search.text()
        entries = self.desk.ask(lambda: worklist.entries(search=searched, by=by, descending=descending))
        every = self.desk.ask(worklist.entries) if searched and entries is not None else entries
        if entries is None or every is None:
            return
        left = sum(each.state == "new" for each in every)
        self.heading.setText(f"<b>{_short(worklist.folder)}</b>: {count(len(every), 'scan')}, {left} new")
        self.heading.setToolTip(str(worklist.folder))
        self.folder_button.setText("Another folder, or look again…")
        self.view.show_entries(entries)

    def _show_choice(self) -> None:
        entry = self.view.entry
        allow(self.open_button, "" if entry else CHOOSE)
        allow(self.back_button, CHOOSE if entry is None else "" if entry.state != "new" else "Nobody has taken it.")
        settled = entry is not None and entry.state in ("signed", "rejected")
        allow(self.reject_button, CHOOSE if entry is None else f"It is {entry.state} already." if settled else "")


def _short(folder: Path) -> str:
    """Return a folder's name after that of the folder it is in: many are called CT."""
    return html.escape("/".join(folder.parts[-2:]))
