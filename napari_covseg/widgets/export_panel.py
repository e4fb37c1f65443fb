"""Export: the corrected mask, on the scan's own grid."""

from __future__ import annotations

from pathlib import Path

from magicgui.widgets import FileEdit
from napari.viewer import Viewer
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

from napari_covseg.widgets.panel import NOTHING_OPEN, Panel, allow, button, words


class ExportPanel(Panel):
    """Chooses a folder, writes the mask there, and says where it went."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.folder = FileEdit(mode="d", value=Path.home(), tooltip="The folder that the mask is written into")
        self.go = button("Export the mask", "Write the corrected mask as NIfTI and read it back", big=True)
        self.why, self.where = words(faint=True), words()
        self.show_folder = button("Show folder", "Open the folder in your file browser")
        self.show_folder.hide()
        self.add(words("The corrected mask, as NIfTI, voxel for voxel on the scan's own grid. Into this folder:"))
        self.add(self.folder.native, self.go, self.why, self.where, self.show_folder)
        self.rows.addStretch()
        self._written: Path | None = None
        self._replaces: Path | None = None
        self.go.clicked.connect(self._on_go)
        self.folder.changed.connect(lambda: self._ask_about(None))
        self.folder.choose_btn.text = "Choose…"
        self.folder.choose_btn.native.setToolTip("Choose the folder")
        self.show_folder.clicked.connect(self._on_show_folder)
        self.desk.opened.connect(self._on_opened)
        self.desk.exported.connect(self._on_exported)
        allow(self.go, "" if self.bench.current else NOTHING_OPEN, self.why)

    def _on_go(self) -> None:
        """Write; where a mask is there already, only when pressed a second time."""
        target = self.bench.export_path(Path(self.folder.value))
        agreed = target is not None and target == self._replaces
        if target is not None and target.exists() and not agreed:
            self._ask_about(target)
            return
        self._ask_about(None)
        if self.desk.attempt(lambda: self.bench.export(Path(self.folder.value), overwrite=agreed)):
            self.where.setText("Writing…")

    def _ask_about(self, target: Path | None) -> None:
        self._replaces = target
        self.go.setText("Replace the mask" if target else "Export the mask")
        if target:
            self.where.setText(
                f"{target.name} is there already. Press again to replace it, or choose another folder to keep both."
            )

    def _on_opened(self) -> None:
        allow(self.go, "", self.why)
        self._ask_about(None)
        self.where.clear()
        self.show_folder.hide()

    def _on_exported(self, path: Path) -> None:
        self._written = path
        self.where.setText(f"Written and read back: {path}")
        self.show_folder.show()

    def _on_show_folder(self) -> None:
        if self._written is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written.parent)))
