"""The compute thread and its in-tray."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from psygnal import Signal

from napari_covseg.jobs.run import Enough, Run
from napari_covseg.jobs.steps import Job, Progress, Result

NICENESS = 10
"""How far the compute thread stands back, as `nice` counts."""

POLL_S = 0.05
"""How soon a job that rests notices who else wants the thread."""


class JobRunner:
    """One compute thread and its in-tray; jobs run in the order they were started, but for those that give way.

    The home thread is the one that calls `pump`: a window does so from a timer, a script from `wait`.

    Parameters
    ----------
    stands_back
        Whether the thread lets others go first: work of minutes does, work that the reader waits for does not.
    """

    changed = Signal()

    def __init__(self, *, stands_back: bool = True) -> None:
        self._stands_back = stands_back
        self._waiting: queue.SimpleQueue[Run[Any] | None] = queue.SimpleQueue()
        self._long: deque[Run[Any]] = deque()
        self._mail: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._runs: list[Run[Any]] = []
        self._thread: threading.Thread | None = None

    @property
    def runs(self) -> tuple[Run[Any], ...]:
        """Every run that is not over, the current one first."""
        return tuple(self._runs)

    @property
    def busy(self) -> bool:
        """Whether anything is running or waiting."""
        return bool(self._runs)

    def start(
        self, job: Job[Result], title: str, enough: Enough | None = None, *, gives_way: bool = False
    ) -> Run[Result]:
        """Queue a job and return its run, whose signals tell how it goes."""
        run = Run(job, title, enough, gives_way=gives_way)
        self._runs.append(run)
        self._waiting.put(run)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="covseg-compute", daemon=True)
            self._thread.start()
        self.changed.emit()
        return run

    def pump(self) -> None:
        """Deliver everything the compute thread has posted since the last call; the home thread's duty."""
        while True:
            try:
                deliver = self._mail.get_nowait()
            except queue.Empty:
                return
            deliver()

    def wait(self, run: Run[Any], timeout_s: float | None = None) -> None:
        """Pump until a run is over.

        Raises
        ------
        TimeoutError
            If it is not over in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.pump()
        while not run.over:
            left_s = 0.05 if deadline is None else min(0.05, deadline - time.monotonic())
            if left_s <= 0:
                raise TimeoutError(f"{run.title}: not over after {timeout_s} s.")
            try:
                deliver = self._mail.get(timeout=left_s)
            except queue.Empty:
                continue
            deliver()

    def close(self, timeout_s: float = 10.0) -> None:
        """Cancel everything and let the thread end."""
        for run in self._runs:
            run.cancel()
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join(timeout_s)
        self.pump()

    def _work(self) -> None:
        if self._stands_back:
            _stand_back()
        while (run := self._long.popleft() if self._long else self._waiting.get()) is not None:
            self._work_on(run)

    def _work_on(self, run: Run[Any]) -> None:
        self._mail.put(partial(self._begin, run, time.monotonic()))
        may_rest = True
        try:
            while True:
                if may_rest:
                    self._rest(run)
                if run.is_cancelling:
                    break
                try:
                    step = next(run.job)
                except StopIteration as end:
                    self._mail.put(partial(self._end, run, "finished", end.value))
                    return
                self._mail.put(partial(self._deliver, run, step))
                may_rest = isinstance(step, Progress)  # what is told before belongs to the same step
            run.job.close()
            self._mail.put(partial(self._end, run, "cancelled"))
        except Exception as error:  # noqa: BLE001 - the only wall a job can hit
            self._mail.put(partial(self._end, run, "failed", error))

    def _rest(self, run: Run[Any]) -> None:
        """Wait while a run is paused; do meanwhile, and before it goes on, what it gives way to."""
        if not run.gives_way:
            run.going.wait()
            return
        while not run.is_cancelling:
            is_going = run.going.is_set()
            try:
                other = self._waiting.get(timeout=0 if is_going else POLL_S)
            except queue.Empty:
                if is_going:
                    return
                continue
            if other is None:  # everything was cancelled, and this is the end
                self._waiting.put(None)
            elif other.gives_way:
                self._long.append(other)
            else:
                began_s = time.monotonic()
                self._work_on(other)
                self._mail.put(partial(run.note_others, began_s, time.monotonic()))

    # The three below run on the home thread, and so does every look-up of a signal: psygnal makes a signal
    # when it is first looked up, and two threads that do so at once would lose a subscriber.

    def _begin(self, run: Run[Any], at_s: float) -> None:
        run.started_at = at_s
        if self._runs[0] is not run:
            self._runs.remove(run)
            self._runs.insert(0, run)
            self.changed.emit()

    def _deliver(self, run: Run[Any], step: Any) -> None:
        if isinstance(step, Progress):
            run.take(step)
        run.stepped.emit(step)

    def _end(self, run: Run[Any], signal: str, *payload: Any) -> None:
        run.over = True
        self._runs.remove(run)
        try:
            getattr(run, signal).emit(*payload)
        finally:  # also when a subscriber fails
            self.changed.emit()


def _stand_back() -> None:
    """Let the window's thread go first where both want the processor; of one thread, only Linux can be told so."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
