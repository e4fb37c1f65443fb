"""What a network draws on its way into the session: slice by slice, past what the reader did meanwhile."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from napari_covseg.io.sentences import count, sentence_of
from napari_covseg.jobs import Run
from napari_covseg.networks import Checkpoint
from napari_covseg.workbench.open_scan import OpenScan
from napari_covseg.workbench.requests import left_alone
from napari_covseg.workbench.words import checkpoint_title, provenance_of

if TYPE_CHECKING:
    from napari_covseg.inference import Segmentation
    from napari_covseg.workbench.bench import Workbench


class TakingIn:
    """One run of a network, whose slices become one undoable step.

    Parameters
    ----------
    bench
        Who is told.
    opened
        The scan.
    trained
        The network.
    slices
        On how many slices it was asked to run.
    run
        The run, not begun yet.
    """

    def __init__(
        self, bench: Workbench, opened: OpenScan, trained: Checkpoint, slices: int, run: Run[Segmentation]
    ) -> None:
        self.bench, self.opened, self.run = bench, opened, run
        self.network = checkpoint_title(trained)
        self.group = secrets.token_hex(4)
        self._title = f"{self.network} on {count(slices, 'slice')}"
        self._provenance = provenance_of(trained)
        self._is_left_alone = left_alone(opened.session)
        self._kept = 0
        run.stepped.connect(self.take)
        run.finished.connect(self.tell)

    def take(self, step: object) -> None:
        """Take a finished slice into the session, unless the reader corrected or marked it since the run began."""
        from napari_covseg.inference import SliceDone

        if not isinstance(step, SliceDone) or self.run.is_cancelling:
            return
        keep_drawn(self.bench, self.opened, self.network, step)
        session = self.opened.session
        if session.refusal:
            return
        if not self._is_left_alone(step.index):
            self._kept += 1
            return
        try:
            session.propose(step.index, step.labels, self._title, self.group, self._provenance)
        except (ValueError, OSError) as error:  # the disk is full, or the session's folder is gone
            self.run.cancel()
            self.bench.complained.emit(sentence_of(error, "the network was stopped."))

    def tell(self, _: object) -> None:
        """Tell how many slices were left as the reader made them meanwhile."""
        if self._kept:
            kept = count(self._kept, "slice")
            self.bench.said.emit(f"You worked on {kept} meanwhile; {self.network} left what you did as it is.")


def keep_drawn(bench: Workbench, opened: OpenScan, network: str, step: object) -> None:
    """Keep what a network drew on a slice beside the session, and the lungs it found; no label is changed."""
    from napari_covseg.inference import SliceDone

    if not isinstance(step, SliceDone):
        return
    session = opened.session
    if not session.refusal and step.index not in session.marks:
        opened.proposals.write(network, step.index, step.labels, step.uncertain_voxels)
        bench.weighed.emit(opened, step.index)
    if step.lung is not None:
        if unkept := opened.lungs.write(step.index, step.lung):
            bench.complained.emit(unkept)
        bench.lungs_found.emit(opened, step.index)
