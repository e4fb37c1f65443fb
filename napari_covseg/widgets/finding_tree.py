"""What is odd about a label map, by kind with a count; a click on any of it goes there."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QTreeWidget, QTreeWidgetItem

from napari_covseg.io.sentences import count
from napari_covseg.measure.findings import Finding
from napari_covseg.review.before_signing import LEAST_LOOK_S

FINDING = Qt.ItemDataRole.UserRole
MOST_ROWS, INDENT_PX = 8, 14
HARDLY_SEEN = (f"On screen under {LEAST_LOOK_S:g} s", "slice")
MOST_OPEN = 12
"""So many are all shown at once; of more, those of each kind below its heading when that is clicked."""


class FindingTree(QTreeWidget):  # type: ignore[misc]
    """A heading for each kind, and below it every finding of that kind, the largest first."""

    pointed_at = Signal(object)
    """The finding that the reader wants to see."""

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderHidden(True)
        self.setIndentation(INDENT_PX)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setToolTip("Click one to go there; a heading goes to the first of its kind")
        self.itemClicked.connect(self._on_chosen)
        self.itemActivated.connect(self._on_chosen)
        self.itemExpanded.connect(self._fit)
        self.itemCollapsed.connect(self._fit)
        self.hide()

    @property
    def headings(self) -> list[QTreeWidgetItem]:
        """The kinds, from top to bottom."""
        return [self.topLevelItem(number) for number in range(self.topLevelItemCount())]

    def show_findings(self, found: Sequence[Finding]) -> None:
        """Show these, and nothing at all where there are none."""
        self.clear()
        for kind in dict.fromkeys(each.kind for each in found):
            self._grow([each for each in found if each.kind == kind])
        if len(found) <= MOST_OPEN:
            self.expandAll()
        self.setVisible(bool(found))
        self._fit()

    def _grow(self, found: Sequence[Finding]) -> None:
        kind = found[0].kind
        title, what = HARDLY_SEEN if kind == "hardly seen" else (kind.capitalize(), "place")
        heading = QTreeWidgetItem(self, [f"{title}: {count(len(found), what)}"])
        font = heading.font(0)
        font.setBold(True)
        heading.setFont(0, font)
        heading.setData(0, FINDING, found[0])
        for each in found:
            item = QTreeWidgetItem(heading, [_short(each)])
            item.setToolTip(0, each.sentence)
            item.setData(0, FINDING, each)

    def _on_chosen(self, item: QTreeWidgetItem) -> None:
        if item.parent() is None:
            item.setExpanded(True)
        self.pointed_at.emit(item.data(0, FINDING))

    def _fit(self) -> None:
        rows = sum(1 + heading.childCount() * heading.isExpanded() for heading in self.headings)
        self.setFixedHeight(self.sizeHintForRow(0) * min(MOST_ROWS, rows) + 8)


def _short(finding: Finding) -> str:
    """Return the slice and how much it is; the sentence is in the tooltip."""
    ml = f"{finding.ml:.1f} mL" if finding.ml >= 0.05 else f"{finding.ml * 1000:.0f} mm³"
    return f"Slice {finding.slice_index + 1}" + (f" · {ml}" if finding.ml else "")
