"""Older cases: what a network that learns must not forget, the bundled sample or a folder of the reader's own."""

from __future__ import annotations

from html import escape
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_covseg.io.sentences import count
from napari_covseg.widgets.benches import Desk
from napari_covseg.widgets.panel import button, in_a_row, stacked, words
from napari_covseg.workbench import OlderCases, can_rehearse_sample, older_cases

NONE = "<b>none</b>"
PACKS = "Training packs (*.npz);;All files (*)"
WHAT_FOR = "It must not forget these: it rehearses some of them, and the verdict asks about others."
NONE_LEFT = (
    "The bundled sample is what it learns here, so nobody could say whether it forgets others: "
    "choose older annotated cases."
)
FOLDER_TOLD = "A folder of annotated cases, as Export and covseg export write them: *_ct.nii.gz with *_lesion.nii.gz"


class OlderRows(QWidget):  # type: ignore[misc]
    """Says which cases they are, and lets others be chosen; what is chosen stays so while the window is open.

    `changed` tells that others were chosen.

    Parameters
    ----------
    desk
        Whose window.
    """

    changed = Signal()

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.which, self.what_for = words(), words(faint=True)
        self.folder_button = button("Choose a folder…", FOLDER_TOLD)
        self.pack_button = button("Choose a pack…", "A training pack: many annotated cases in one .npz file")
        self.back = button("Back to the bundled sample", "Rehearse the synthetic chest CT that comes with CovSeg")
        self.others = QWidget()
        chosen = in_a_row(self.folder_button, self.pack_button)
        stacked(self.others, chosen, self.back, apart=4)
        stacked(self, self.which, self.what_for, self.others, above=4, apart=4)
        self.folder_button.clicked.connect(self._on_folder)
        self.pack_button.clicked.connect(self._on_pack)
        self.back.clicked.connect(self._on_back)
        self.show_state()

    def choose(self, place: Path) -> None:
        """Take the cases of a folder or a pack; one that holds none is told, and all stays as it was."""
        found = self.desk.attempt(lambda: older_cases(place))
        if found is not None:
            self._take(found)
            self.desk.bench.said.emit(" ".join(found.remarks))

    def show_state(self, *, is_learning: bool = False, is_judged: bool = False) -> None:
        """Say which cases they are, without what for beside a verdict; while it learns, no more than those it has."""
        self.others.setHidden(is_learning)
        if is_learning:
            self.what_for.hide()
            return  # by now another scan may be open
        older, opened = self.desk.bench.older, self.desk.bench.current
        has_any = older is not None or can_rehearse_sample(opened.path if opened else None)
        what_for = WHAT_FOR if has_any else NONE_LEFT
        self.what_for.setText(what_for)
        self.what_for.setHidden(is_judged)
        self.which.setText(f"Older cases: {_told(older) if has_any else NONE}")
        self.which.setToolTip(what_for if older is None else f"{older.place}. {what_for}")
        self.back.setVisible(older is not None)

    def _take(self, older: OlderCases | None) -> None:
        self.desk.bench.older = older
        self.show_state()
        self.changed.emit()

    def _on_folder(self) -> None:
        if place := QFileDialog.getExistingDirectory(self, "Choose a folder of older cases"):
            self.choose(Path(place))

    def _on_pack(self) -> None:
        place, _ = QFileDialog.getOpenFileName(self, "Choose a pack of older cases", "", PACKS)
        if place:
            self.choose(Path(place))

    def _on_back(self) -> None:
        self._take(None)


def _told(older: OlderCases | None) -> str:
    if older is None:
        return "<b>the bundled sample</b>"
    cases = count(len(older.names), "case")
    return f"<b>{escape(older.place.name)}</b>, {cases} of {count(older.patients, 'patient')}"
