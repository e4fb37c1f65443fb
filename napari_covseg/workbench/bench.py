"""The application without its window: what is open, what runs, what was said.

Everything here happens on the home thread; long work goes to the `JobRunner` as a job and comes back through it.
"""

from __future__ import annotations

import getpass
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_covseg.export import mask_path
from napari_covseg.io import Stated, UnstatedError, home
from napari_covseg.io.remembered import Recent, Remembered, remember, remembered
from napari_covseg.io.sentences import count, sentence_of
from napari_covseg.io.stated import NOTHING
from napari_covseg.jobs import Enough, Job, JobRunner, Remark, Run, drain
from napari_covseg.networks import Checkpoint, checkpoint, lineage
from napari_covseg.review import Correction, ReviewSession, Scene
from napari_covseg.review.fingerprint import reviewed_sha256
from napari_covseg.review.log_lines import Log, log_in
from napari_covseg.review.places import FoundAt
from napari_covseg.review.reader_names import one_line, same_reader
from napari_covseg.review.readers import ReadersAgreement, reading_of
from napari_covseg.review.shelf import Shelf, agreement_with, listed_sessions
from napari_covseg.review.words import marks_in_words
from napari_covseg.volume import Volume
from napari_covseg.workbench.choice import Choice
from napari_covseg.workbench.long_work import (
    Tool,
    applying,
    bundling,
    exporting,
    learning,
    listing,
    looking_over,
    reading,
    segmented,
    writing_log,
)
from napari_covseg.workbench.older_cases import OlderCases
from napari_covseg.workbench.open_scan import OpenScan, on_the_bench, snapshot
from napari_covseg.workbench.requests import LearnRequest, SegmentRequest, slices_for
from napari_covseg.workbench.source import Source
from napari_covseg.workbench.still import StillLabels
from napari_covseg.workbench.taking_in import TakingIn, keep_drawn
from napari_covseg.workbench.words import checkpoint_title, provenance_of

if TYPE_CHECKING:
    from napari_covseg.export.gathering import Gathered
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
        self._still = StillLabels()
        self.shelf = Shelf(self.folder / "sessions", self.complained.emit)
        self._on_bench: dict[ReviewSession, OpenScan] = {}
        self._taking: list[TakingIn] = []
        self.choice = Choice(self.folder)
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
        opened = self._opened()
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
        opened = self._opened_as_it_was()
        job = looking_over(snapshot(opened.session), opened.session.marks, opened)
        run = self.start(job, "Looking over the label map")
        run.stepped.connect(self._warn)
        return run

    def compare_with(self, folder: Path) -> Run[ReadersAgreement]:
        """Compare the open session with another reader's of the same scan; the run's result is how far they agree.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        mine = reading_of(self._opened().session)
        return self.start(agreement_with(mine, folder), "Comparing two readings", runner=self.tool_runner)

    def read_log(self) -> Run[Log]:
        """Read the log of the open session and verify it; the run's result is every row, and what is doubtful.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        folder = self._opened().session.folder
        return self.start(log_in(folder), "Reading the log", runner=self.tool_runner)

    def export_log(self, log: Log, path: Path) -> Run[Path]:
        """Write a log for spreadsheets; the run's result is the file."""
        return self.start(writing_log(log, path), "Writing the log", runner=self.tool_runner)

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
        opened = self._opened()
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
        session = self._opened().session
        drawing = [each.run for each in self._taking if each.group == session.undo_group and not each.run.over]
        undone = session.undo()
        for run in drawing if undone else ():
            run.cancel()
            self.said.emit("The network was stopped, since what it drew was undone.")
        return undone

    def finetune(
        self,
        parent: Checkpoint,
        *,
        steps: int | None = None,
        device: str = "auto",
        replay: Path | None = None,
        resume: bool = False,
    ) -> Run[Checkpoint]:
        """Teach a checkpoint the reviewed slices of the open scan; `learned` tells the child, its verdict in its card.

        The run can be paused, and wrapped up: the best so far is then kept and judged.

        Parameters
        ----------
        parent
            Where to start.
        steps
            Of the optimiser; a minute or two's without.
        device
            Where to compute.
        replay
            Folder or pack of annotated cases to rehearse and be asked about; the synthetic sample without.
        resume
            Go on with a run that was stopped, where `can_resume` says so; otherwise what such runs left is removed.

        Raises
        ------
        ValueError
            If no scan is open, the session is of another scan than is there now, or no slice is reviewed.
        """
        opened = self._opened_as_it_was()
        if not opened.session.reviewed:
            raise ValueError("No slice is marked reviewed yet; mark at least one, since only these are learned.")
        killed, about = self._killed(parent) if resume else (None, {})
        out = killed or checkpoint.fresh_path(parent, datetime.now(), self.folder)
        steps = about["config"]["steps"] if killed else steps
        enough = Enough()
        old = tuple(lineage.unfinished(opened.session.scan_sha256, self.folder))
        job = learning(parent, opened, out, LearnRequest(steps, device, replay, old), enough)
        run = self.start(job(), "Learning from your corrections", enough=enough, if_stopped=partial(_kept_of, out))
        run.stepped.connect(self._pass_on)
        run.finished.connect(lambda child: self.learned.emit(child))  # psygnal relays every signal to a bare .emit
        return run

    def segment_rest(self, trained: Checkpoint, device: str = "auto") -> Run[Segmentation]:
        """Segment again what nobody reviewed or corrected; taken in at the end as one correction, or not at all.

        What the reader reviews or corrects meanwhile is left as it is, too; `segmented_rest` tells the correction while
        the scan is still open.

        Raises
        ------
        ValueError
            If no scan is open, the session is signed, or every slice is the reader's own already.
        """
        opened = self._opened()
        request = SegmentRequest(trained, device=device)
        title = checkpoint_title(trained)
        job = segmented(opened.scan, request, slices_for(opened.session, request))
        run = self.start(job, f"Segmenting the rest again with {title}", if_stopped=lambda: "nothing was changed")
        run.stepped.connect(partial(keep_drawn, self, opened, title))
        run.finished.connect(partial(self._take_rest, opened, trained))
        return run

    def scene(self, index: int | None = None, axis: int = 0) -> Scene:
        """Return what a tool works on: one slice of the open scan along an axis, or all of it; the labels are live.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        opened = self._opened()
        lung = opened.lungs.mask(index if axis == 0 else None)
        scene = Scene(opened.session.labels.values, opened.scan, lung)
        return scene if index is None else scene.on_slice(index, axis)

    def apply(self, tool: Tool, index: int | None = None, axis: int = 0) -> Correction | None:
        """Apply a tool to one slice, or a quick one to the whole scan; `said` tells what it did.

        Raises
        ------
        ValueError
            If no scan is open, nothing in the session can be changed, or the tool refuses.
        """
        opened = self._opened()
        return self._take_correction(opened, drain(applying(tool, self.scene(index, axis), "")))

    def apply_aside(self, tool: Tool, title: str) -> Run[Correction | None]:
        """Apply a tool to the whole scan beside the window, on the labels as they are now; `said` tells what it did.

        Tools have a thread of their own, so that no reader waits for a network.

        Raises
        ------
        ValueError
            If no scan is open, or nothing in the session can be changed.
        """
        opened = self._opened()
        if opened.session.refusal:
            raise ValueError(opened.session.refusal)
        still = self._still.of(opened.session, is_read=self.tool_runner.busy)
        scene = replace(self.scene(), labels=still)
        run = self.start(applying(tool, scene, title), title, runner=self.tool_runner)
        run.finished.connect(partial(self._take_aside, opened))
        return run

    def take_painted(self, opened: OpenScan, correction: Correction | None) -> None:
        """Make a correction that the reader painted; she sees it, and is told only of marks it takes back.

        Raises
        ------
        ValueError, OSError
            As `ReviewSession.correct` does.
        """
        session, marked = opened.session, opened.session.marks
        session.correct(correction)
        if lost := marks_in_words(marked, session.marks):
            self.said.emit(lost)

    def export_path(self, folder: Path) -> Path | None:
        """Return where `export` would write, None while no scan is open."""
        return mask_path(self.current.session.case, folder) if self.current else None

    def export(self, folder: Path, *, overwrite: bool = False) -> Run[Path]:
        """Write the corrected mask on the scan's own grid; `exported` tells the file.

        A mask that is there already is kept, and complained about, unless it is to be overwritten.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        opened = self._opened()
        session = opened.session
        run = self.start(exporting(snapshot(session), session.signature, opened, folder, overwrite), "Exporting")
        run.stepped.connect(self._warn)
        run.finished.connect(lambda path: self.exported.emit(path))
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
            if self.shelf.worklist is None:
                raise ValueError("There is no worklist; choose a folder of scans first.")
            look = partial(listed_sessions, self.shelf.folder, self.shelf.worklist)
        else:
            session = self._opened().session
            if not session.reviewed:
                raise ValueError("No slice is marked reviewed yet; mark at least one, since only these are written.")
            look = partial(tuple, (session.folder,))
        run = self.start(bundling(look, folder, self._near(), overwrite), "Exporting cases")
        run.stepped.connect(self._pass_on)
        run.finished.connect(lambda found: self.bundled.emit(found))
        return run

    def can_resume(self, parent: Checkpoint) -> bool:
        """Whether a fine-tuning of this parent on the open scan's corrections, as they stand, was stopped midway.

        It rehearsed the older cases that are chosen, too.
        """
        killed, about = (None, {}) if self.current is None else self._killed(parent)
        return killed is not None and about.get("replay") == (self.older and lineage.cases_sha256(self.older.names))

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
        self._still.let_go()
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
    ) -> Run[Any]:
        """Run a job, on the compute thread if no runner is given; what goes wrong is told, and that it was stopped."""
        run = (runner or self.runner).start(job, title, enough)
        run.failed.connect(self._complain)
        kept: Callable[[], str] = (lambda: "nothing was changed") if runner is self.tool_runner else if_stopped
        run.cancelled.connect(lambda: self.said.emit(f"{title}: stopped; {kept()}."))
        return run

    def _stays(self, session: ReviewSession) -> str:
        """Return what becomes of an open session when the reader changes."""
        if session.is_of_another_reader and same_reader(session.begun_by, self.reader):
            return "open this scan again to go on with your reading of it"
        return f"this session stays {session.begun_by or session.reader}'s"

    def _near(self) -> tuple[Path, ...]:
        """Return where scans of this reader lie."""
        return tuple(dict.fromkeys(recent.path.parent for recent in self.remembered.recent))

    def _killed(self, parent: Checkpoint) -> tuple[Path | None, Mapping[str, Any]]:
        opened, session = self._opened(), self._opened().session
        for out, about in lineage.unfinished(session.scan_sha256, self.folder).items():
            config = about.get("config")
            if about.get("parent_sha256") == parent.sha256 and isinstance(config, dict) and "steps" in config:
                sha256 = reviewed_sha256(opened.scan, session.labels, session.reviewed)
                if about.get("sessions_sha256") == [sha256]:
                    return out, about
        return None, {}

    def _pass_on(self, step: object) -> None:
        if isinstance(step, Remark):
            self.said.emit(step.words)

    def _warn(self, step: object) -> None:
        if isinstance(step, Remark):
            self.complained.emit(step.words)

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
            self._complain(error)
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
        if self.runner.busy or self.tool_runner.busy:
            return
        for session, opened in list(self._on_bench.items()):
            if opened is not self.current:
                self._still.let_go()
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

    def _opened(self) -> OpenScan:
        if self.current is None:
            raise ValueError("No scan is open; open one first.")
        return self.current

    def _opened_as_it_was(self) -> OpenScan:
        """Return the open scan, whose labels are of its voxels."""
        opened = self._opened()
        if opened.of_another_scan:
            raise ValueError(opened.of_another_scan)
        return opened

    def _take_rest(self, opened: OpenScan, trained: Checkpoint, found: Segmentation) -> None:
        title, values = checkpoint_title(trained), found.labels.values
        try:
            taken = opened.session.propose_rest(values, found.slices, f"{title} on the rest", provenance_of(trained))
        except (ValueError, OSError) as error:
            self._complain(error)
            return
        if taken is None:
            self.said.emit(f"{title} draws the rest of the scan as it stands; nothing was changed.")
            return
        self.said.emit(f"The rest was segmented again: {count(len(taken.changed_slices), 'slice')} changed.")
        if opened is self.current:
            self.segmented_rest.emit(taken)

    def _take_correction(self, opened: OpenScan, correction: Correction | None) -> Correction | None:
        """Make a correction and tell it, with the slices that are no longer marked reviewed."""
        session, marked = opened.session, opened.session.marks
        taken = session.correct(correction)
        if taken is None:
            self.said.emit("There was nothing to change.")
            return None
        self.said.emit(f"{taken.title[0].upper()}{taken.title[1:]}. {marks_in_words(marked, session.marks)}".rstrip())
        return taken

    def _take_aside(self, opened: OpenScan, correction: Correction | None) -> None:
        try:
            self._take_correction(opened, correction)
        except (ValueError, OSError) as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not isinstance(error, ValueError | OSError | KeyError):
            log.error("A job failed.", exc_info=error)
        self.complained.emit(sentence_of(error, "nothing was changed."))


def _kept_of(out: Path) -> str:
    """Return, in words, what is left of a fine-tuning that was stopped."""
    if out.with_name(f"{out.name}{lineage.RUN_ENDING}").exists():
        return "what it learned is kept; Learn can go on with it while your reviewed slices stay as they are"
    return "it had learned nothing yet"
