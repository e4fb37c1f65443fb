"""Export: the corrected mask, on the scan's own grid, or reviewed slices as cases to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import FileEdit
from napari.viewer import Viewer
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices

from napari_covseg.jobs import Remark, Run
from napari_covseg.widgets.bundle_words import gathered_words, there_already
from napari_covseg.widgets.export_choice import ABOUT, ExportChoice
from napari_covseg.widgets.panel import NOTHING_OPEN, Panel, allow, button, words
from napari_covseg.widgets.words import time_left, waits_for

if TYPE_CHECKING:
    from napari_covseg.export.gathering import Gathered

NO_SLICE = "Mark a slice reviewed first (R): only reviewed slices are written."
NO_LIST = "Choose a folder of scans first: Worklist of a folder, in the Open tab."
IN_HAND = "Something is being written; wait for it or cancel it first."


class ExportPanel(Panel):
    """Chooses what and where, writes it, and says where it went; the big button becomes Cancel."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.choice, self.about = ExportChoice(), words()
        self.folder = FileEdit(mode="d", value=Path.home(), tooltip="The folder that is written into")
        self.go = button("Export the mask", "Write what is chosen into the folder and read it back", big=True)
        self.why, self.progress, self.where = words(faint=True), words(), words()
        self.show_folder = button("Show folder", "Open the folder in your file browser")
        self.show_folder.hide()
        self.add(self.choice, self.about, self.folder.native, self.go, self.why, self.progress, self.where)
        self.add(self.show_folder)
        self.rows.addStretch()
        self._run: Run[Any] | None = None
        self._target = Path()
        self._written: Path | None = None
        self._replaces = False
        self._remarks: list[str] = []
        self._listen()
        self._show_state()

    def _listen(self) -> None:
        self.go.clicked.connect(self._on_go)
        self.choice.changed.connect(self._on_other)
        self.folder.changed.connect(lambda: self._ask_about(replacing=False))
        self.folder.choose_btn.text = "Choose…"
        self.folder.choose_btn.native.setToolTip("Choose the folder")
        self.folder.line_edit.native.returnPressed.connect(self._on_named)
        self.show_folder.clicked.connect(self._on_show_folder)
        self.desk.opened.connect(self._on_other)
        self.desk.exported.connect(self._on_exported)
        self.desk.bundled.connect(self._on_bundled)
        for signal in (self.desk.runs_changed, self.desk.states_changed, self.desk.listed):
            signal.connect(self._show_state)
        self.desk.ticked.connect(self._show_progress)

    @property
    def _is_running(self) -> bool:
        return self._run is not None and not self._run.over

    def _on_go(self) -> None:
        """Write, or stop writing; what is there already is replaced only when pressed a second time."""
        if self._is_running and self._run is not None:
            self._run.cancel()
            self._show_state()
            return
        folder, agreed, what = Path(self.folder.value), self._replaces, self.choice.what
        target = self.bench.exports.mask_path(folder) if what == "mask" else None
        if target is not None and target.exists() and not agreed:
            self._ask_about(replacing=True)
            self.where.setText(
                f"{target.name} is there already. Press again to replace it, or choose another folder to keep both."
            )
            return
        self._forget()
        self._target = folder
        self._run = self.desk.attempt(
            lambda: (
                self.bench.exports.mask(folder, overwrite=agreed)
                if what == "mask"
                else self.bench.exports.bundle(folder, whole_list=what == "list", overwrite=agreed)
            )
        )
        if self._run is not None and what == "mask":
            self._run.stepped.connect(self._on_step)
        self._show_state()

    def _on_named(self) -> None:
        """Go on to the button once the folder is named; it is still the reader who presses it."""
        self.go.setFocus(Qt.FocusReason.TabFocusReason)

    def _ask_about(self, *, replacing: bool) -> None:
        self._replaces = replacing
        self._show_state()

    def _on_other(self) -> None:
        """Another scan, or another kind: what was said of the one before is gone."""
        self._forget()
        self._show_state()

    def _forget(self) -> None:
        self._replaces = False
        self._remarks.clear()
        self.where.clear()
        self.show_folder.hide()

    def _on_step(self, step: object) -> None:
        if isinstance(step, Remark):
            self._remarks.append(step.words)

    def _on_exported(self, path: Path) -> None:
        self._tell("\n".join((f"Written and read back: {path}", *self._remarks)), path.parent)

    def _on_bundled(self, found: Gathered) -> None:
        self._tell(gathered_words(found, self._target), self._target if found.bundled else None)
        self._ask_about(replacing=there_already(found) > 0)

    def _tell(self, what: str, written: Path | None) -> None:
        self._written = written
        self.where.setText(what)
        if written is not None and not self._remarks:  # what was remarked stands in the state line
            self.desk.bench.said.emit(f"Exported into {written}.")
        self.show_folder.setVisible(written is not None)

    def _show_state(self) -> None:
        stopping = self._is_running and self._run is not None and self._run.is_cancelling
        things = "mask" if self.choice.what == "mask" else "cases"
        again = f"{'Replace' if self._replaces else 'Export'} the {things}"
        self.go.setText("Stopping…" if stopping else "Cancel" if self._is_running else again)
        allow(self.go, "" if self._is_running and not stopping else self._reason_not(stopping=stopping), self.why)
        self.about.setText(ABOUT[self.choice.what])
        self.choice.hold(IN_HAND if self._is_running else "")
        self._show_progress()

    def _reason_not(self, *, stopping: bool) -> str:
        if stopping:
            return "It stops after this file."
        if self.choice.what == "list":
            return "" if self.bench.shelf.worklist else NO_LIST
        if self.desk.session is None:
            return NOTHING_OPEN
        return "" if self.choice.what == "mask" or self.desk.session.reviewed else NO_SLICE

    def _show_progress(self) -> None:
        self.progress.setVisible(self._is_running)
        if self._is_running and self._run is not None:
            progress = self._run.progress
            scans = f"{progress.done} of {progress.total} scans" if progress.total > 1 else ""
            waits = waits_for(self._run, self.bench.runner)
            said = (waits,) if waits else (scans, progress.doing, time_left(self._run.seconds_left))
            self.progress.setText(" · ".join(part for part in said if part))

    def _on_show_folder(self) -> None:
        if self._written is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written)))
