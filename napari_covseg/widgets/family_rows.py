"""The lineage of a network as a small tree: one click goes back to any of its ancestors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from napari_covseg.networks import Checkpoint
from napari_covseg.networks.lineage import Branch, Decision
from napari_covseg.networks.registry import listing
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.panel import stacked, words

IN_USE, NOT_PROMOTED, OVERRULED = "in use", "not promoted", "overruled"
ROW_PX, MOST_ROWS, INDENT_PX = 22, 6, 14
CHECKPOINT = Qt.ItemDataRole.UserRole


class FamilyRows(QWidget):  # type: ignore[misc]
    """Every checkpoint of the chosen network, each parent above its children; nothing while there is only one.

    Files that cannot be read are named below them.

    Parameters
    ----------
    desk
        Whose networks.
    """

    doubted = Signal(object)
    """Asked for is a checkpoint that its gate did not promote."""

    looked_at = Signal(object)
    """Pressed was on the one in use, or on one that is in use now."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.tree = QTreeWidget()
        self.tree.setColumnCount(2)
        self.tree.setHeaderHidden(True)
        self.tree.setIndentation(INDENT_PX)
        self.tree.setItemsExpandable(False)
        self.tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tree.header().setStretchLastSection(False)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.tree.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.tree.setToolTip("Click one, or press Enter, to work with it from now on; none is ever changed or removed")
        self.unreadable = words("")
        stacked(self, words("<b>Lineage</b>"), self.tree, self.unreadable, above=4)
        self.tree.itemClicked.connect(self._on_chosen)
        self.tree.itemActivated.connect(self._on_chosen)
        desk.chose.connect(self.show_family)
        desk.learned.connect(self.show_family)
        self.show_family()

    @property
    def items(self) -> list[QTreeWidgetItem]:
        """What stands in the tree, from top to bottom."""
        found, item = [], self.tree.topLevelItem(0)
        while item is not None:
            found.append(item)
            item = self.tree.itemBelow(item)
        return found

    def show_family(self) -> None:
        """Show the chosen network's checkpoints as they are now."""
        branches = self.desk.bench.choice.family(self.desk.bench.choice.network)
        self.tree.clear()
        self._grow(branches)
        self.tree.expandAll()
        self.tree.setFixedHeight(ROW_PX * min(MOST_ROWS, len(branches)) + 6)
        left_out = self.desk.bench.choice.left_out
        self.unreadable.setText(_unreadable(left_out))
        self.unreadable.setVisible(bool(left_out))
        chosen = self.desk.bench.choice.checkpoint
        is_gone = chosen is not None and chosen not in [branch.checkpoint for branch in branches]
        self.setVisible(len(branches) > 1 or bool(left_out) or is_gone)

    def _grow(self, branches: Sequence[Branch]) -> None:
        chosen = self.desk.bench.choice.checkpoint
        above: list[QTreeWidgetItem] = []
        for branch in branches:
            del above[branch.depth :]
            item = QTreeWidgetItem(above[-1] if above else self.tree)
            above.append(item)
            trained = branch.checkpoint
            item.setText(0, _title(trained))
            item.setText(1, _standing(branch, is_chosen=trained == chosen))
            for column in (0, 1):
                item.setToolTip(column, _told(branch))
            item.setData(0, CHECKPOINT, branch)
            item.setSizeHint(0, QSize(0, ROW_PX))
            font = item.font(0)
            font.setBold(trained == chosen)
            item.setFont(0, font)

    def _on_chosen(self, item: QTreeWidgetItem) -> None:
        branch: Branch = item.data(0, CHECKPOINT)
        if branch.checkpoint == self.desk.bench.choice.checkpoint:
            self.looked_at.emit(branch.checkpoint)
            return
        if not branch.promoted:
            self.doubted.emit(branch.checkpoint)
            return
        trained, choice = branch.checkpoint, self.desk.bench.choice
        self.desk.attempt(lambda: choice.promote(trained, self.desk.bench.reader))
        if choice.checkpoint != trained:
            self.show_family()
            return
        decided = f" {_decided(branch.decision)}" if branch.is_overruled and branch.decision else ""
        self.desk.bench.said.emit(f"Segment and Learn use {_called(trained)} from now on.{decided}")
        self.looked_at.emit(trained)


def _unreadable(reasons: Sequence[str]) -> str:
    return f"<span>Left out of this list: {escape(' '.join(reasons))}</span>"


def _standing(branch: Branch, *, is_chosen: bool) -> str:
    notes = (IN_USE if is_chosen else "", OVERRULED if branch.is_overruled else "" if branch.promoted else NOT_PROMOTED)
    return ", ".join(filter(None, notes))


def _told(branch: Branch) -> str:
    """Return where a checkpoint comes from and, where a reader decided about it, who did and why."""
    trained = branch.checkpoint
    told = f"{trained.name}: learned from {trained.card.trained_on}"
    if branch.decision is None:
        return told
    lines = (f"{told}.", _decided(branch.decision))
    return "<br>".join(map(escape, lines))  # a reason with a sign of less than is no markup


def _decided(decision: Decision) -> str:
    when = datetime.fromisoformat(decision.time_utc).astimezone()
    against = "Its gate held it back; promoted all the same" if decision.promoted else "Taken back"
    return f"{against} by {decision.reader}, {when:%d %b %Y %H:%M}: {decision.reason}"


def _title(trained: Checkpoint) -> str:
    """Return a short name: when it was learned, unless somebody gave it a name."""
    if trained.is_shipped:
        return "as it came"
    if trained.card.parent_sha256 and trained.card.created_utc and trained.name.startswith(f"{trained.card.network}-"):
        return f"{datetime.fromisoformat(trained.card.created_utc).astimezone():%d %b %H:%M:%S}"
    return str(trained.name)


def _called(trained: Checkpoint) -> str:
    """Return what a sentence calls it: ``MASC-Net as it came``, ``the MASC-Net of 22 Nov 22:36:34``."""
    network, title = listing(trained.card.network).title, _title(trained)
    if trained.is_shipped:
        return f"{network} {title}"
    return f"the {network} {'called' if title == trained.name else 'of'} {title}"
