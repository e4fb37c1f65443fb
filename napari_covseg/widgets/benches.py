"""One bench per viewer, and the desk it stands on: its timer, its link to the layers, its end with the window."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from napari.utils.notifications import show_warning
from napari.viewer import Viewer
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_covseg.io.sentences import sentence_of
from napari_covseg.review import Correction, ReviewSession
from napari_covseg.widgets import keys
from napari_covseg.widgets.adoption import Adoption
from napari_covseg.widgets.bounded_brush import bound
from napari_covseg.widgets.closing import Closing
from napari_covseg.widgets.drops import Drops
from napari_covseg.widgets.furniture import Furniture
from napari_covseg.widgets.keeping import Keeping
from napari_covseg.widgets.link import Link
from napari_covseg.widgets.picture import pane_of
from napari_covseg.widgets.pointer import tell_status
from napari_covseg.widgets.toolbox import Toolbox
from napari_covseg.workbench import OpenScan, Workbench

STATE_LINE = "covseg_state_line"
UNREACHED = "The worklist could not be reached ({}); nothing was changed there. Look into the folder again to go on."
PUMP_MS = 15
TELL_S = 0.2
"""How often panels are told how far a run is."""

# napari hashes viewers by identity, but two empty viewers are equal: a look-up goes by hash first, and so by identity.
_desks: WeakKeyDictionary[Viewer, Desk] = WeakKeyDictionary()


def desk_of(viewer: Viewer, folder: Path | None = None, reader: str = "") -> Desk:
    """Return what the viewer's panels listen to; the first call makes it, with its folder and its reader if given."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a proxy that hides the window
    desk = _desks.get(viewer)
    if desk is None:
        desk = _desks[viewer] = Desk(viewer, Workbench(reader, folder))
    return desk


class Desk(QObject):  # type: ignore[misc]
    """A bench in a window, and what it tells, as Qt signals: a panel that is gone is no longer called.

    Parameters
    ----------
    viewer
        Whose window.
    bench
        What to work on.
    """

    opened = Signal(object)
    labels_changed = Signal(object)
    states_changed = Signal()
    lungs_shown = Signal()
    weighed = Signal(int)
    runs_changed = Signal()
    ticked = Signal()
    learned = Signal(object)
    exported = Signal(object)
    bundled = Signal(object)
    asked = Signal(object, object, object)
    chose = Signal(object)
    listed = Signal(object)
    segmented_rest = Signal(object)
    said = Signal(str)
    complained = Signal(str)
    wanted = Signal(str)
    acted = Signal()

    def __init__(self, viewer: Viewer, bench: Workbench) -> None:
        super().__init__(viewer.window._qt_window)
        self.viewer, self.bench = viewer, bench
        self.adoption = Adoption(viewer, bench)  # before the link: an adopted scan makes room for the bench's own
        self.link = Link(viewer, bench)
        self._session: ReviewSession | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(PUMP_MS)
        self._timer.timeout.connect(self._on_timer)
        self._listen()
        self._told_at_s, self.is_closed = 0.0, False
        self.tools = Toolbox(self)
        self.tools.watch(pane_of(viewer))
        self.furniture = Furniture(self)
        keys.bind(viewer, self)
        self.closing, self.drops, self.keeping = Closing(self), Drops(self), Keeping(self)

    @property
    def session(self) -> ReviewSession | None:
        """The session of the scan on the bench."""
        return self.bench.current.session if self.bench.current else None

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Do what the reader asked for and return its result; where it cannot be done, tell why and return None."""
        self.acted.emit()
        self.link.settle()
        return self.ask(action)

    def ask(self, action: Callable[[], Any]) -> Any:
        """Do what has nothing to do with what is being painted, as `attempt` does."""
        try:
            return action()
        except (ValueError, OSError) as error:
            self.bench.complained.emit(sentence_of(error, "nothing was changed."))
        except _unreached() as error:
            self.bench.complained.emit(UNREACHED.format(type(error).__name__))
        return None

    def close(self) -> str:
        """Stop what runs and let go of sessions; what was finished is on disk.

        Returns
        -------
        str
            What was complained of at the very end, when no panel shows it any more; empty where all went well.
        """
        if self.is_closed:
            return ""
        self.is_closed = True
        last_words: list[str] = []
        self.bench.complained.disconnect(self._notify)
        self.bench.complained.connect(last_words.append)
        _desks.pop(self.viewer, None)
        self._timer.stop()
        self.blockSignals(True)
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.adoption.close()
        self.closing.close()
        self.drops.close()
        self.keeping.close()
        self.furniture.close()
        self.tools.close()
        self.link.close()
        self.bench.close()
        gc.unfreeze()
        return " ".join(last_words)

    def _listen(self) -> None:
        bench = self.bench
        self.viewer.layers.events.inserted.connect(self._on_inserted)
        bench.opened.connect(self._on_opened)
        bench.runner.changed.connect(self._on_runs)
        bench.tool_runner.changed.connect(self._on_tool_runs)
        for signal, qt_signal in (
            (bench.learned, self.learned),
            (bench.exported, self.exported),
            (bench.bundled, self.bundled),
            (bench.asked, self.asked),
            (bench.choice.changed, self.chose),
            (bench.listed, self.listed),
            (bench.segmented_rest, self.segmented_rest),
            (bench.said, self.said),
            (bench.complained, self.complained),
        ):
            signal.connect(qt_signal.emit)
        bench.complained.connect(self._notify)
        self.link.lungs.shown.connect(self._on_lungs)
        bench.weighed.connect(self._on_weighed)

    def _on_opened(self, opened: OpenScan) -> None:
        # napari looks for garbage whenever a layer goes, so what is there to stay is put aside; where there was a scan
        # before, it is freed first, once the bench has let go of it.
        QTimer.singleShot(0, gc.freeze if self._session is None else _sweep)
        if self._session is not None:
            self._session.changed.disconnect(self._on_labels, missing_ok=True)
            self._session.states_changed.disconnect(self._on_states, missing_ok=True)
        self._session = opened.session
        self._session.changed.connect(self._on_labels)
        self._session.states_changed.connect(self._on_states)
        self.opened.emit(opened)

    def _on_inserted(self, event: Any) -> None:
        layers, opened = self.link.layers, self.link.opened
        if layers and opened and any(event.value is each for each in (*layers, self.link.lungs.layer)):
            keys.bind(event.value, self, is_painted_on=event.value is layers.lesions)
            if event.value is layers.lesions:
                bound(event.value, self)
            tell_status(event.value, opened, layers.lesions)

    def _on_lungs(self) -> None:
        self.lungs_shown.emit()

    def _on_weighed(self, opened: OpenScan, index: int) -> None:
        if opened is self.bench.current:
            self.weighed.emit(index)

    def _on_labels(self, correction: Correction) -> None:
        self.labels_changed.emit(correction)

    def _on_states(self) -> None:
        self.states_changed.emit()

    def _notify(self, message: str) -> None:
        """Let napari tell where no state line is seen, since a single panel may be all that is open."""
        lines = self.viewer.window._qt_window.findChildren(QWidget, STATE_LINE)
        if not any(line.isVisible() for line in lines):
            show_warning(message)

    def _on_runs(self) -> None:
        self._pump_while_busy()
        self.runs_changed.emit()

    def _on_tool_runs(self) -> None:
        self._pump_while_busy()
        self.ticked.emit()  # no panel offers anything else while a tool works

    def _pump_while_busy(self) -> None:
        if self.bench.runner.busy or self.bench.tool_runner.busy:
            self._timer.start()
        else:
            self._timer.stop()

    def _on_timer(self) -> None:
        self.bench.tool_runner.pump()
        self.bench.runner.pump()
        now_s = time.monotonic()
        if now_s - self._told_at_s >= TELL_S:
            self._told_at_s = now_s
            self.ticked.emit()


def _unreached() -> type[Exception]:
    """Return what the worklist's database raises; looked up when something was raised, so that no window waits."""
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError


def _sweep() -> None:
    """Free the memory of the scan before: it may be among what is passed over since a network was brought in."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
