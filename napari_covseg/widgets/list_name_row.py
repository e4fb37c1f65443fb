"""Which list of a department's database the worklist is, and the name under which others share it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

from napari_covseg.widgets.panel import in_a_row, stacked, words

if TYPE_CHECKING:
    from napari_covseg.review.whose_list import Sharer
    from napari_covseg.review.worklist import Worklist

OWN = "This list is of this folder on this computer alone."
EARLIER = "A list called {0} is there from an earlier version; type {0} to go on with it."
SHARED = "Everybody who types this name shares the list: {}."
TO_SHARE = "a name, to share it"
TYPED_TOLD = (
    "Everybody who gives a folder's list this name in the department's database shares it, for the same scans at "
    "another path. Empty: the list of this folder on this computer alone"
)


class ListNameRow(QWidget):  # type: ignore[misc]
    """The name of the list, to be typed, and who shares it; nothing where the reader keeps her list to herself."""

    named = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.told, self.typed = words(faint=True), QLineEdit()
        self.typed.setPlaceholderText(TO_SHARE)
        self.typed.setToolTip(TYPED_TOLD)
        stacked(self, in_a_row(QLabel("List"), self.typed, apart=4), self.told, apart=4)
        self.typed.editingFinished.connect(self._on_typed)
        self._name = ""
        self.hide()

    def show_list(self, worklist: Worklist) -> None:
        """Show which list it is; asks the database.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If that cannot be reached.
        """
        self._name = worklist.name
        self.typed.setText(self._name)
        self.setVisible(worklist.is_departments)
        self.told.setText(_shared(worklist.sharers) if worklist.name else _own(worklist.earlier_name))

    def show_name(self) -> None:
        """Show the name that counts, where another was typed and refused."""
        self.typed.setText(self._name)

    def _on_typed(self) -> None:
        name = " ".join(self.typed.text().split())
        if name != self._name:
            self.named.emit(name)


def _own(earlier: str) -> str:
    return f"{OWN} {EARLIER.format(html.escape(earlier))}" if earlier else OWN


def _shared(sharers: Sequence[Sharer]) -> str:
    return SHARED.format("; ".join(f"{html.escape(each.folder)} on {html.escape(each.computer)}" for each in sharers))
