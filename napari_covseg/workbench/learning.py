"""Fine-tuning at the bench: a checkpoint learns the open scan's corrections, and draws the rest of it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_covseg.io.sentences import count
from napari_covseg.jobs import Enough, Run
from napari_covseg.networks import Checkpoint, checkpoint, lineage
from napari_covseg.networks.learned import learned_by
from napari_covseg.review.fingerprint import reviewed_sha256
from napari_covseg.workbench.long_work import learning, segmented
from napari_covseg.workbench.open_scan import OpenScan
from napari_covseg.workbench.requests import Copied, LearnRequest, SegmentRequest, slices_for
from napari_covseg.workbench.taking_in import keep_drawn
from napari_covseg.workbench.words import checkpoint_title, provenance_of

if TYPE_CHECKING:
    from napari_covseg.inference import Segmentation
    from napari_covseg.workbench.bench import Workbench


@dataclass(frozen=True, eq=False)
class Learning:
    """What networks learn from the open scan.

    Parameters
    ----------
    bench
        Where it is open.
    """

    bench: Workbench

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
        opened = self.bench.unchanged_scan()
        if not opened.session.reviewed:
            raise ValueError("No slice is marked reviewed yet; mark at least one, since only these are learned.")
        killed, about = self._killed(parent) if resume else (None, {})
        copied = _copied(about) if killed else None
        out = killed or checkpoint.fresh_path(parent.card.network, datetime.now(), self.bench.folder)
        steps = about["config"]["steps"] if killed else steps
        enough = Enough()
        old = tuple(lineage.unfinished(opened.session.scan_sha256, self.bench.folder))
        job = learning(parent, opened, out, LearnRequest(steps, device, replay, old, copied), enough)
        title, kept = f"Learning from your corrections of {opened.scan.name}", partial(self._kept_of, opened, out)
        run = self.bench.start(job(), title, enough=enough, if_stopped=kept, needs=opened)
        run.stepped.connect(self.bench.pass_on)
        run.finished.connect(lambda child: self.bench.learned.emit(child))  # psygnal relays all signals to a bare .emit
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
        opened = self.bench.opened_scan()
        request = SegmentRequest(trained, device=device)
        title, name = checkpoint_title(trained), opened.scan.name
        job = segmented(opened.scan, request, slices_for(opened.session, request))
        run = self.bench.start(
            job, f"Segmenting the rest of {name} again with {title}", if_stopped=lambda: "nothing was changed"
        )
        run.stepped.connect(partial(keep_drawn, self.bench, opened, title))
        run.finished.connect(partial(self._take_rest, opened, trained))
        return run

    def doubted(self, parent: Checkpoint) -> str:
        """Return why what a checkpoint learns from the open scan will not be judged; empty where it will be."""
        from napari_covseg.training.lesson import Lesson
        from napari_covseg.training.neighbourhoods import doubted

        opened = self.bench.opened_scan()
        session = opened.session
        lesson = Lesson(opened.scan, session.labels, session.reviewed, session.scan_sha256)
        return doubted(lesson, learned_by(parent.card))

    def can_resume(self, parent: Checkpoint) -> bool:
        """Whether a fine-tuning of this parent on the open scan was stopped midway, and its corrections still stand.

        What was corrected since is for the next. It rehearsed the older cases that are chosen, too.
        """
        killed, about = (None, {}) if self.bench.current is None else self._killed(parent)
        older = self.bench.older
        return killed is not None and about.get("replay") == (older and lineage.cases_sha256(older.names))

    def _killed(self, parent: Checkpoint) -> tuple[Path | None, Mapping[str, Any]]:
        opened = self.bench.opened_scan()
        for out, about in lineage.unfinished(opened.session.scan_sha256, self.bench.folder).items():
            config = about.get("config")
            if out.exists():  # killed when all was done; what lies beside the child is removed by the next run
                continue
            is_whole = isinstance(config, dict) and "steps" in config
            if is_whole and about.get("parent_sha256") == parent.sha256 and _still_stands(opened, about):
                return out, about
        return None, {}

    def _kept_of(self, opened: OpenScan, out: Path) -> str:
        """Return, in words, what is left of a fine-tuning that was stopped."""
        session = opened.session
        about = lineage.unfinished(session.scan_sha256, self.bench.folder).get(out)
        if about is None:
            return "it had learned nothing yet"
        if _still_stands(opened, about):
            return (
                "what it learned is kept; Learn can go on with it while the slices that it began with stay as they are"
            )
        return "it cannot be gone on with, since slices that it began with were changed or are no longer marked"

    def _take_rest(self, opened: OpenScan, trained: Checkpoint, found: Segmentation) -> None:
        title, name, values = checkpoint_title(trained), opened.scan.name, found.labels.values
        try:
            taken = opened.session.propose_rest(values, found.slices, f"{title} on the rest", provenance_of(trained))
        except (ValueError, OSError) as error:
            self.bench.complain(error)
            return
        if taken is None:
            self.bench.said.emit(f"{title} draws the rest of {name} as it stands; nothing was changed.")
            return
        self.bench.said.emit(
            f"The rest of {name} was segmented again: {count(len(taken.changed_slices), 'slice')} changed."
        )
        if opened is self.bench.current:
            self.bench.segmented_rest.emit(taken)


def _still_stands(opened: OpenScan, about: Mapping[str, Any]) -> bool:
    """Whether the corrections that a run learns are as it copied them, whatever was corrected besides."""
    session, copied = opened.session, _copied(about)
    slices = copied.slices if copied else session.reviewed
    if not set(slices) <= set(session.reviewed):
        return False
    return about.get("sessions_sha256") == [reviewed_sha256(opened.scan, session.labels, slices)]


def _copied(about: Mapping[str, Any]) -> Copied | None:
    """Return which corrections a run says that it copied; None of an earlier version's, which does not say it."""
    try:
        copied = about[lineage.COPIED]
        return Copied(datetime.fromisoformat(copied["utc"]), tuple(map(int, copied["slices"][0])))
    except (LookupError, TypeError, ValueError):
        return None
