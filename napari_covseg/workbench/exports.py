"""What leaves the bench: masks on the scan's own grid, cases to train on, the log as a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_covseg.export import mask_path
from napari_covseg.jobs import Run
from napari_covseg.review.log_lines import Log
from napari_covseg.review.shelf import listed_sessions
from napari_covseg.workbench.long_work import bundling, exporting, writing_log
from napari_covseg.workbench.open_scan import snapshot

if TYPE_CHECKING:
    from napari_covseg.export.gathering import Gathered
    from napari_covseg.workbench.bench import Workbench


@dataclass(frozen=True, eq=False)
class Exports:
    """What is written of the open scan, or of all on the worklist, for others.

    Parameters
    ----------
    bench
        Where it is open.
    """

    bench: Workbench

    def mask_path(self, folder: Path) -> Path | None:
        """Return where `mask` would write, None while no scan is open."""
        return mask_path(self.bench.current.session.case, folder) if self.bench.current else None

    def mask(self, folder: Path, *, overwrite: bool = False) -> Run[Path]:
        """Write the corrected mask on the scan's own grid; `exported` tells the file.

        A mask that is there already is kept, and complained about, unless it is to be overwritten.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        opened = self.bench.opened_scan()
        session = opened.session
        run = self.bench.start(exporting(snapshot(session), session.signature, opened, folder, overwrite), "Exporting")
        run.stepped.connect(self.bench.warn)
        run.finished.connect(lambda path: self.bench.exported.emit(path))
        return run

    def bundle(self, folder: Path, *, whole_list: bool = False, overwrite: bool = False) -> Run[Gathered]:
        """Write reviewed slices as annotated cases to train on; `bundled` tells what became of each session.

        Parameters
        ----------
        folder
            Where to; cases that are there already stay, and those of the same scans too unless they are to be
            overwritten.
        whole_list
            Of all scans on the worklist that have a session here and were not rejected; of the open scan without.

        Raises
        ------
        ValueError
            If there is no worklist, or no scan is open or none of its slices reviewed.
        """
        if whole_list:
            if self.bench.shelf.worklist is None:
                raise ValueError("There is no worklist; choose a folder of scans first.")
            look = partial(listed_sessions, self.bench.shelf.folder, self.bench.shelf.worklist)
        else:
            session = self.bench.opened_scan().session
            if not session.reviewed:
                raise ValueError("No slice is marked reviewed yet; mark at least one, since only these are written.")
            look = partial(tuple, (session.folder,))
        run = self.bench.start(bundling(look, folder, self._near(), overwrite), "Exporting cases")
        run.stepped.connect(self.bench.pass_on)
        run.finished.connect(lambda found: self.bench.bundled.emit(found))
        return run

    def log(self, log: Log, path: Path) -> Run[Path]:
        """Write a log for spreadsheets; the run's result is the file."""
        return self.bench.start(writing_log(log, path), "Writing the log", runner=self.bench.tool_runner)

    def _near(self) -> tuple[Path, ...]:
        """Return where scans of this reader lie."""
        return tuple(dict.fromkeys(recent.path.parent for recent in self.bench.remembered.recent))
