"""What a reader's hands do at the bench: tools on a slice or the scan, and what was painted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from napari_covseg.jobs import Run, drain
from napari_covseg.review import Correction, Scene
from napari_covseg.review.words import marks_in_words
from napari_covseg.workbench.long_work import Tool, applying
from napari_covseg.workbench.open_scan import OpenScan
from napari_covseg.workbench.still import StillLabels

if TYPE_CHECKING:
    from napari_covseg.workbench.bench import Workbench


@dataclass(frozen=True, eq=False)
class Tools:
    """Corrections of the open scan that a reader makes herself.

    Parameters
    ----------
    bench
        Where it is open.
    """

    bench: Workbench
    still: StillLabels = field(default_factory=StillLabels)

    def scene(self, index: int | None = None, axis: int = 0) -> Scene:
        """Return what a tool works on: one slice of the open scan along an axis, or all of it; the labels are live.

        Raises
        ------
        ValueError
            If no scan is open.
        """
        opened = self.bench.opened_scan()
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
        opened = self.bench.opened_scan()
        return self._take_correction(opened, drain(applying(tool, self.scene(index, axis), "")))

    def apply_aside(self, tool: Tool, title: str) -> Run[Correction | None]:
        """Apply a tool to the whole scan beside the window, on the labels as they are now; `said` tells what it did.

        Tools have a thread of their own, so that no reader waits for a network.

        Raises
        ------
        ValueError
            If no scan is open, or nothing in the session can be changed.
        """
        opened = self.bench.opened_scan()
        if opened.session.refusal:
            raise ValueError(opened.session.refusal)
        still = self.still.of(opened.session, is_read=self.bench.tool_runner.busy)
        scene = replace(self.scene(), labels=still)
        run = self.bench.start(applying(tool, scene, title), title, runner=self.bench.tool_runner)
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
            self.bench.said.emit(lost)

    def _take_correction(self, opened: OpenScan, correction: Correction | None) -> Correction | None:
        """Make a correction and tell it, with the slices that are no longer marked reviewed."""
        session, marked = opened.session, opened.session.marks
        taken = session.correct(correction)
        if taken is None:
            self.bench.said.emit("There was nothing to change.")
            return None
        self.bench.said.emit(
            f"{taken.title[0].upper()}{taken.title[1:]}. {marks_in_words(marked, session.marks)}".rstrip()
        )
        return taken

    def _take_aside(self, opened: OpenScan, correction: Correction | None) -> None:
        try:
            self._take_correction(opened, correction)
        except (ValueError, OSError) as error:
            self.bench.complain(error)
