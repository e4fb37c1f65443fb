"""What the gate said of a fine-tuned network, and what the reader makes of it: use it, or keep the old one."""

from __future__ import annotations

from html import escape

from qtpy.QtWidgets import QLineEdit, QWidget

from napari_covseg.networks import Checkpoint
from napari_covseg.networks.lineage import is_promoted
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.gate_words import TABLES_TOLD, reasons, tables
from napari_covseg.widgets.panel import button, in_a_row, rename, stacked, words
from napari_covseg.workbench import checkpoint_title, gone

USE, KEEP, ALL_THE_SAME = "Use it", "Keep the old one", "Use it all the same"
KEEP_IN_USE = "Keep the one in use"
KEEP_TOLD = "Segment as before; the new one stays in the lineage"
USE_TOLD = "Segment with what was just learned"
ALL_THE_SAME_TOLD = "Say why, and segment with it although it was not found better; the reason is kept"
ASK = "Why? Then press Enter"
MARGIN = 8
DEFAULT = "QPushButton { font-weight: bold; }"


class VerdictRows(QWidget):  # type: ignore[misc]
    """The verdict and its figures; at the foot two buttons, of which the one that the gate speaks for stands out.

    Parameters
    ----------
    desk
        Whose networks.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._parent: Checkpoint | None = None
        self._child: Checkpoint | None = None
        self.result, self.figures, self.why = words(), words(), QLineEdit()
        self.figures.setToolTip(TABLES_TOLD)
        self.use, self.keep = button(USE, USE_TOLD), button(KEEP, KEEP_TOLD)
        self.why.setPlaceholderText(ASK)
        self.why.setMaxLength(500)
        self._lay_out()
        self.use.clicked.connect(self._on_use)
        self.keep.clicked.connect(self._on_keep)
        self.why.returnPressed.connect(self._on_why)
        self.clear()

    @property
    def child(self) -> Checkpoint | None:
        """Of which network something is shown."""
        return self._child

    @property
    def is_asking(self) -> bool:
        """Whether the reader has yet to say which one to use."""
        return self._child is not None and self.choice.isVisibleTo(self.foot)

    def ask(self, parent: Checkpoint | None, child: Checkpoint, scan: str = "") -> None:
        """Show what is known of a child, and ask what to do with it.

        Parameters
        ----------
        parent
            What is kept where the child is not wanted; None for what is in use.
        child
            Whose verdict it is.
        scan
            What the scan is called that it learned from; empty where nobody knows.
        """
        self.tell(child, scan)
        self._parent = parent
        is_of_another = parent is not None and child.card.parent_sha256 not in ("", parent.sha256)
        if is_of_another:
            self.result.setText(f"{self.result.text()} {self._compared(child)}")
        rename(self.keep, KEEP_IN_USE if is_of_another else KEEP, KEEP_TOLD)
        speaks_for = is_promoted(child, self.desk.bench.folder)
        rename(self.use, *((USE, USE_TOLD) if speaks_for else (ALL_THE_SAME, ALL_THE_SAME_TOLD)))
        self.use.setStyleSheet(DEFAULT if speaks_for else "")
        self.keep.setStyleSheet("" if speaks_for else DEFAULT)
        self.choice.show()

    def tell(self, child: Checkpoint, scan: str = "") -> None:
        """Show what is known of a child, and ask nothing."""
        self._parent, self._child = None, child
        learned_from = f"Learned from {escape(scan)}." if scan else ""
        self.result.setText(" ".join(filter(None, (learned_from, reasons(child.card.metrics)))))
        self.figures.setText(tables(child.card.metrics))
        self._ask_no_more()
        self.show()

    def follow(self, chosen: Checkpoint | None) -> None:
        """Ask no more once the child is in use; forget it where another is, save its parent while it is asked about."""
        if self._child is not None and chosen == self._child:
            self._ask_no_more()
        elif chosen != self._child and not (self.is_asking and chosen == self._parent):
            self.clear()

    def clear(self) -> None:
        """Forget what was asked."""
        self._child = None
        self.result.setText("")
        self.figures.setText("")
        self._ask_no_more()

    def _compared(self, child: Checkpoint) -> str:
        """Return whose figures stand before a child's, where these are not of what is in use."""
        known = self.desk.bench.choice.known(child.card.network)
        parent = next((each for each in known if each.sha256 == child.card.parent_sha256), None)
        whom = "the network that it learned from, which is in no list" if parent is None else checkpoint_title(parent)
        return f"Compared with {escape(whom)}, not with the one in use."

    def _lay_out(self) -> None:
        self.choice, self.foot = QWidget(), QWidget()
        in_a_row(self.use, self.keep, on=self.choice)
        stacked(self.foot, self.choice, self.why).setContentsMargins(MARGIN, 0, MARGIN, 0)
        stacked(self, self.result, self.figures, self.foot)

    def _ask_no_more(self) -> None:
        self._hide_why()
        self.choice.hide()

    def _hide_why(self) -> None:
        self.why.clear()
        self.why.hide()

    def _on_use(self) -> None:
        if self._child is not None and is_promoted(self._child, self.desk.bench.folder):
            self._promote("")
        else:
            self.why.show()
            self.why.setFocus()

    def _on_why(self) -> None:
        self._promote(self.why.text())

    def _promote(self, reason: str) -> None:
        child = self._child
        if child is None:
            return
        self.desk.attempt(lambda: self.desk.bench.choice.promote(child, self.desk.bench.reader, reason))

    def _on_keep(self) -> None:
        if parent := self._parent:
            self.clear()
            self.desk.bench.choice.take(parent.card.network, parent)
            kept = self.desk.bench.choice.checkpoint  # another one where the parent's file is gone
            missing = "" if kept == parent else f"{gone(parent)} "
            title = "nothing: no trained weights are left" if kept is None else checkpoint_title(kept)
            self.desk.bench.said.emit(f"{missing}Segment and Learn go on with {title}.")
