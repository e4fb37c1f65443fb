"""Open: bring a scan onto the bench."""

from __future__ import annotations

from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtWidgets import QFileDialog, QLabel, QLineEdit

from napari_covseg.io import Stated, sample_scan
from napari_covseg.io.sentences import count
from napari_covseg.review.words import slices_named
from napari_covseg.widgets.panel import Panel, button, in_a_row, words
from napari_covseg.widgets.recent_scans import RecentScans
from napari_covseg.widgets.series import Question
from napari_covseg.widgets.words import scan_line
from napari_covseg.widgets.worklist_rows import WorklistRows
from napari_covseg.workbench import OpenScan

FILES = "Chest CT (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm *.zip *.png *.jpg *.jpeg);;All files (*)"
LONGEST_NAME = 80
FIRST = "Open a chest CT: a scan file, or a folder of DICOM slices. You can also drop it on the window."


class OpenPanel(Panel):
    """Opens scans and says what was opened."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.file_button = button(
            "Open a scan file…", "Choose a scan: NIfTI, NRRD, MetaImage, zipped DICOM or a picture", big=True
        )
        self.folder_button = button("Open a DICOM folder…", "Choose the folder that holds the DICOM slices", big=True)
        self.sample_button = button("Try the sample", "Open the synthetic chest CT that comes with CovSeg")
        self.question = Question()
        self.name, self.line, self.session_line = words(), words(FIRST), words()
        self.name.setStyleSheet("QLabel { font-weight: bold; }")
        self.add(
            self.file_button,
            self.folder_button,
            self.sample_button,
            self.question,
            self.name,
            self.line,
            self.session_line,
        )
        self.reader = QLineEdit(self.bench.reader)
        self.reader.setMaxLength(LONGEST_NAME)
        self.reader.setToolTip("Your name, under which scans that you open from now on are marked and signed")
        self.add(in_a_row(QLabel("Reader"), self.reader))
        self.recent, self.worklist = RecentScans(self.desk), WorklistRows(self.desk)
        self.add(self.recent, self.worklist)
        self.rows.addStretch()
        self.file_button.clicked.connect(self._on_file)
        self.folder_button.clicked.connect(self._on_folder)
        self.sample_button.clicked.connect(self._on_sample)
        self.reader.editingFinished.connect(self._on_reader)
        self.question.answered.connect(self.open)
        self.desk.asked.connect(self.question.ask)
        self.desk.opened.connect(self._on_opened)
        for signal in (self.desk.states_changed, self.desk.labels_changed):
            signal.connect(self._show_session)
        if self.bench.current:
            self._on_opened(self.bench.current)

    def open(self, path: Path, stated: Stated | None = None) -> None:
        """Open a file or folder; where the reader must state something first, ask for it below the buttons."""
        self.desk.attempt(lambda: self.bench.open(path, stated or Stated()))

    def _on_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a chest CT", "", FILES)
        if path:
            self.open(Path(path))

    def _on_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a folder of DICOM slices")
        if path:
            self.open(Path(path))

    def _on_reader(self) -> None:
        if self.reader.text() != self.bench.reader:
            self.bench.read_as(self.reader.text())
            self.reader.setText(self.bench.reader)

    def _on_sample(self) -> None:
        self.desk.attempt(lambda: self.bench.open(sample_scan()))

    def _on_opened(self, opened: OpenScan) -> None:
        self.question.hide()
        self.name.setText(opened.scan.name)
        self.line.setText(scan_line(opened.scan))
        self._show_session()

    def _show_session(self) -> None:
        if opened := self.bench.current:
            self.session_line.setText(_session_line(opened))


def _session_line(opened: OpenScan) -> str:
    session = opened.session
    if session.signature is not None:
        return f"This scan was signed by {session.signature.reader}; it can be exported, or opened again in Review."
    if session.reviewed:
        left = session.geometry.shape[0] - len(session.reviewed)
        onward = f"Next: Review, {count(left, 'slice')} to go." if left else "Next: sign in Review, then Export."
        return f"Reviewed: {slices_named(session.reviewed)}. {onward}"
    if session.undo_title:
        return "Next: Review, correct what is wrong and mark the slices reviewed."
    return "Next: Segment, then correct and review."
