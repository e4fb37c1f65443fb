"""Lesions as rows: class, millilitres, mean Hounsfield units, slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor

from napari_covseg.review import Lesion
from napari_covseg.review.words import slice_numbers
from napari_covseg.volume import LESIONS, SHORT_TITLES
from napari_covseg.widgets.words import signed

HEADINGS = ("Lesion", "mL", "HU", "Slices")
TOLD = ("What it is called", "How large it is", "How dense it is on average, in Hounsfield units", "Where it is")
SORTED_BY = Qt.ItemDataRole.UserRole
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter

_CLASSES = {each.value: each for each in LESIONS}
_NOWHERE = QModelIndex()


class LesionModel(QAbstractTableModel):  # type: ignore[misc]
    """What the view shows; it has no more than what it was last given."""

    def __init__(self) -> None:
        super().__init__()
        self.lesions: tuple[Lesion, ...] = ()

    def give(self, lesions: Sequence[Lesion]) -> None:
        """Show these lesions in place of those before."""
        self.beginResetModel()
        self.lesions = tuple(lesions)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Return how many lesions there are."""
        return 0 if parent.isValid() else len(self.lesions)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Return how many facts each has."""
        return 0 if parent.isValid() else len(HEADINGS)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        """Return a heading."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        return {Qt.ItemDataRole.DisplayRole: HEADINGS, Qt.ItemDataRole.ToolTipRole: TOLD}.get(role, (None,) * 4)[
            section
        ]

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a fact, as it is shown or as it is sorted."""
        lesion, column = self.lesions[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return shown(lesion)[column]
        if role == SORTED_BY:
            return (lesion.value, lesion.ml, lesion.mean_hu, lesion.first)[column]
        if role == Qt.ItemDataRole.DecorationRole and column == 0:
            return QColor(_CLASSES[lesion.value].colour)
        if role == Qt.ItemDataRole.TextAlignmentRole and column > 0:
            return RIGHT
        return None


def shown(lesion: Lesion) -> tuple[str, str, str, str]:
    """Return what is shown of a lesion."""
    title = SHORT_TITLES[_CLASSES[lesion.value].name].capitalize()
    ml = f"{lesion.ml:.1f}" if lesion.ml >= 0.1 else f"{lesion.ml:.2f}"
    return title, ml, signed(round(lesion.mean_hu)), slice_numbers(range(lesion.first, lesion.last + 1))


def sortable(model: LesionModel) -> QSortFilterProxyModel:
    """Return the model as a view may sort it, by number and not by letter."""
    proxy = QSortFilterProxyModel()
    proxy.setSourceModel(model)
    proxy.setSortRole(SORTED_BY)
    return proxy
