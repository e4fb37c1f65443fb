"""The application without its window: what is open, what runs, what was said.

Everything here happens on the home thread; long work goes to the `JobRunner` as a job and comes back through it.
"""

from __future__ import annotations

import getpass
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_covseg.io import Stated, UnstatedError, home
from napari_covseg.io.remembered import Recent, Remembered, remember, remembered
from napari_covseg.io.sentences import sentence_of
from napari_covseg.io.stated import NOTHING
from napari_covseg.jobs import Enough, Job, JobRunner, Remark, Run
from napari_covseg.networks import Checkpoint
from napari_covseg.review import Correction, ReviewSession
from napari_covseg.review.log_lines import Log, log_in
from napari_covseg.review.places import FoundAt
from napari_covseg.review.reader_names import one_line, same_reader
from napari_covseg.review.readers import ReadersAgreement, reading_of
from napari_covseg.review.shelf import OWN_FOLDER, Shelf, agreement_with
from napari_covseg.volume import Volume
from napari_covseg.workbench.choice import Choice
from napari_covseg.workbench.exports import Exports
from napari_covseg.workbench.learning import Learning
from napari_covseg.workbench.long_work import (
    listing,
    looking_over,
    reading,
    segmented,
)
from napari_covseg.workbench.older_cases import OlderCases
from napari_covseg.workbench.open_scan import OpenScan, on_the_bench, snapshot
from napari_covseg.workbench.requests import SegmentRequest, slices_for
from napari_covseg.workbench.source import Source
from napari_covseg.workbench.taking_in import TakingIn
from napari_covseg.workbench.tools import Tools
from napari_covseg.workbench.words import checkpoint_title

if TYPE_CHECKING:
    from napari_covseg.inference import Segmentation
    from napari_covseg.measure import Finding
    from napari_covseg.review.worklist import Worklist

log = logging.getLogger(__name__)


class Workbench:
    """What is open, what runs, and what the reader is told; the window and scripts drive this one object.

    Parameters
    ----------
    reader
        Who is reading; without, who typed her name last, or else the account's.
    folder
        Where sessions and checkpoints live; the user's own place without.
    """

    opened = Signal(OpenScan)
    lungs_found = Signal(OpenScan, int)
    weighed = Signal(OpenScan, int)
    learned = Signal(Checkpoint)
    exported = Signal(Path)
    bundled = Signal(object)
    asked = Signal(Path, Stated, UnstatedError)
    listed = Signal(object)
    segmented_rest = Signal(Correction)
    said = Signal(str)
    complained = Signal(str)

    def __init__(self, reader: str | None = None, folder: Path | None = None) -> None:
        self.folder = folder or home()
        self.reader = one_line(reader or "") or self.remembered.reader or getpass.getuser()
        self.runner, self.tool_runner = JobRunner(), JobRunner(stands_back=False)
        self.current: OpenScan | None = None
        self.shelf = Shelf(self.folder / OWN_FOLDER, self.complained.emit)
        self._on_bench: dict[ReviewSession, OpenScan] = {}
        self._taking: list[TakingIn] = []
        self._needed: dict[Run[Any], OpenScan] = {}
        self.choice = Choice(self.folder)
        self.tools, self.learning, self.exports = Tools(self), Learning(self), Exports(self)
        self.older: OlderCases | None = None
        """What the reader wants children not to forget; the synthetic sample without."""
        self.runner.changed.connect(self._tidy)
        self.tool_runner.changed.connect(self._tidy)

    def open(self, path: Path, stated: Stated = NOTHING) -> Run[tuple[Source, Volume]]:
        """Read a scan and open its session, new or as it was left; `opened` tells when it is there.

        Where the reader must state something first, `asked` tells what, and what was stated so far.
        """
        run = self.start(reading(path, stated), f"Opening {path.name}")
        run.finished.connect(self._take)
        run.failed.connect(partial(self._ask, path, stated))
        return run

    def read_as(self, name: str) -> None:
        """Let this reader begin whatever is opened from now on, also tomorrow; empty for the account's name.

        What is open stays with who opened it.
        """
        typed = one_line(name)
        self.reader = typed or getpass.getuser()
        self.remember(replace(self.remembered, reader=typed))
        if self.current is not None and not same_reader(self.current.session.reader, self.reader):
            self.said.emit(f"What is opened from now on is read by {self.reader}; {self._stays(self.current.session)}.")

    def second_reading(self) -> Run[tuple[Source, Volume]]:
        """Begin this reader's own session of the open scan, beside that of the reader who began the open one.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        opened = self.opened_scan()
        run = self.start(reading(opened.path, opened.session.stated), f"Opening {opened.path.name}")
        run.finished.connect(partial(self._take, beside=True))
        return run

    def check(self) -> Run[tuple[Finding, ...]]:
        """Look the open session over before it is signed; the run's result is what is odd, each with a place to go to.

        Raises
        ------
        ValueError
            If no scan is open, or the session is of another scan than is there now.
        """
        opened = self.unchanged_scan()
        job = looking_over(snapshot(opened.session), opened.session.marks, opened)
        run = self.start(job, "Looking over the label map")
        run.stepped.connect(self.warn)
        return run

    def compare_with(self, folder: Path) -> Run[ReadersAgreement]:
        """Compare the open session with another reader's of the same scan; the run's result is how far they agree.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        mine = reading_of(self.opened_scan().session)
        return self.start(agreement_with(mine, folder), "Comparing two readings", runner=self.tool_runner)

    def read_log(self) -> Run[Log]:
        """Read the log of the open session and verify it; the run's result is every row, and what is doubtful.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        folder = self.opened_scan().session.folder
        return self.start(log_in(folder), "Reading the log", runner=self.tool_runner)

    def list_scans(self, folder: Path, url: str = "", name: str | None = None) -> Run[Worklist]:
        """Put a folder of scans on the worklist; `listed` tells it when it is there.

        In a department's database it is shared under a name, that which it was given last if none is given.
        """
        known = self.remembered.list_names.get(str(folder.resolve()), "") if name is None else name
        run = self.start(listing(folder, url, known), f"Looking for scans in {folder.name}")
        run.finished.connect(self._take_list)
        return run

    def open_next(self) -> Run[tuple[Source, Volume]] | None:
        """Open the next scan of the worklist that nobody has; None, and a word, where there is none.

        Raises
        ------
        ValueError
            If there is no worklist.
        """
        if self.shelf.worklist is None:
            raise ValueError("There is no worklist; choose a folder of scans first.")
        entry = self.shelf.worklist.next(self.reader)
        if entry is None:
            self.said.emit("Every scan of the worklist is taken or done.")
            return None
        return self.open(entry.path)

    def segment(self, request: SegmentRequest) -> Run[Segmentation]:
        """Run a network on the open scan; finished slices go into the session one by one, as one undoable step.

        Raises
        ------
        ValueError
            If no scan is open, the session is signed, or every slice asked for is the reader's own already.
        """
        opened = self.opened_scan()
        slices = slices_for(opened.session, request)
        title = checkpoint_title(request.trained)
        run = self.start(segmented(opened.scan, request, slices), f"Segmenting with {title}")
        self._taking.append(TakingIn(self, opened, request.trained, len(slices), run))
        return run

    def undo(self) -> bool:
        """Take back the last step of the open scan; return whether there was one.

        A network that is still drawing what is taken back is stopped: it would draw half of it anew.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        session = self.opened_scan().session
        drawing = [each.run for each in self._taking if each.group == session.undo_group and not each.run.over]
        undone = session.undo()
        for run in drawing if undone else ():
            run.cancel()
            self.said.emit("The network was stopped, since what it drew was undone.")
        return undone

    @property
    def remembered(self) -> Remembered:
        """What the window remembers: recent scans, and whether the tour was taken."""
        return remembered(self.folder)

    def remember(self, what: Remembered) -> None:
        """Keep it; where that cannot be done it is forgotten, since nothing depends on it."""
        try:
            remember(self.folder, what)
        except OSError:
            log.warning("What the window remembers could not be written.", exc_info=True)

    def close(self) -> None:
        """Stop everything and let go of every session."""
        self.runner.close()
        self.tool_runner.close()
        self.tools.still.let_go()
        self.shelf.close()
        for opened in self._on_bench.values():
            self._keep_proposals(opened)
        self._on_bench.clear()
        self.current = None

    def start(
        self,
        job: Job[Any],
        title: str,
        *,
        enough: Enough | None = None,
        runner: JobRunner | None = None,
        if_stopped: Callable[[], str] = lambda: "what was finished is kept",
        needs: OpenScan | None = None,
    ) -> Run[Any]:
        """Run a job, on the compute thread if no runner is given; what goes wrong is told, and that it was stopped.

        One that can end early with what it has takes minutes and gives way to the others; the scan it needs stays.
        """
        run = (runner or self.runner).start(job, title, enough, gives_way=enough is not None)
        if needs is not None:
            self._needed[run] = needs
        run.failed.connect(self.complain)
        kept: Callable[[], str] = (lambda: "nothing was changed") if runner is self.tool_runner else if_stopped
        run.cancelled.connect(lambda: self.said.emit(f"{title}: stopped; {kept()}."))
        return run

    def opened_scan(self) -> OpenScan:
        """Return the open scan.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.current is None:
            raise ValueError("No scan is open; open one first.")
        return self.current

    def unchanged_scan(self) -> OpenScan:
        """Return the open scan, whose labels are of its voxels.

        Raises
        ------
        ValueError
            If no scan is open, or the session is of another scan than is there now.
        """
        opened = self.opened_scan()
        if opened.of_another_scan:
            raise ValueError(opened.of_another_scan)
        return opened

    def pass_on(self, step: object) -> None:
        """Say what a job remarked."""
        if isinstance(step, Remark):
            self.said.emit(step.words)

    def warn(self, step: object) -> None:
        """Complain of what a job remarked."""
        if isinstance(step, Remark):
            self.complained.emit(step.words)

    def complain(self, error: Exception) -> None:
        """Tell in one sentence what went wrong; what nobody expected is logged too."""
        if not isinstance(error, ValueError | OSError | KeyError):
            log.error("A job failed.", exc_info=error)
        self.complained.emit(sentence_of(error, "nothing was changed."))

    def _stays(self, session: ReviewSession) -> str:
        """Return what becomes of an open session when the reader changes."""
        if session.is_of_another_reader and same_reader(session.begun_by, self.reader):
            return "open this scan again to go on with your reading of it"
        return f"this session stays {session.begun_by or session.reader}'s"

    def _take_list(self, worklist: Worklist) -> None:
        self.shelf.list_on(worklist)
        self.listed.emit(worklist)

    def _ask(self, path: Path, stated: Stated, error: Exception) -> None:
        if isinstance(error, UnstatedError):
            self.asked.emit(path, stated, error)

    def _take(self, read: tuple[Source, Volume], *, beside: bool = False) -> None:
        source, volume = read
        found_at = FoundAt(source.path, source.stated)
        try:
            session = self.shelf.take(volume, self.reader, found_at, beside=beside)
        except (ValueError, OSError) as error:
            self.complain(error)
            return
        if session not in self._on_bench:
            self._on_bench[session] = on_the_bench(source, volume, session)
        opened = self.current = self._on_bench[session]
        self.remember(self.remembered.opened(Recent(found_at.path.resolve(), volume.name, found_at.stated)))
        self.opened.emit(opened)
        self._tell_of(opened.session, volume)

    def _tidy(self) -> None:
        """Let go of runs that are over, and of sessions that are neither on screen nor needed by a job."""
        self._taking = [each for each in self._taking if not each.run.over]
        self._keep_proposals(self.current)
        self._needed = {run: opened for run, opened in self._needed.items() if not run.over}
        if self.tool_runner.busy or not all(run.gives_way for run in self.runner.runs):
            return
        for session, opened in list(self._on_bench.items()):
            if opened is not self.current and opened not in self._needed.values():
                self.tools.still.let_go()
                self.shelf.let_go(session)
                self._keep_proposals(opened)
                del self._on_bench[session]

    def _keep_proposals(self, opened: OpenScan | None) -> None:
        """Write again what networks drew where it was deleted beside a session; tell once what is gone for good."""
        if opened is None or opened.session.is_read_only or opened.session.journal.where != "here":
            return
        if gone := opened.proposals.write_again():
            self.complained.emit(gone)

    def _tell_of(self, session: ReviewSession, volume: Volume) -> None:
        """Say what there is to say of a session and its scan at once: of two the first would not be seen."""
        if notes := (*session.notes, *volume.notes):
            tell = self.complained if session.is_read_only or session.was_damaged else self.said
            tell.emit(" ".join(notes))
