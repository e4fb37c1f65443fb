"""Long work told in steps, and the one thread that does it.

A job is a generator: it yields `Progress` and finished pieces, and returns its result. The command line
drains it; the window hands it to a `JobRunner`, whose single compute thread segmentation and fine-tuning
share. Whatever a job yields is delivered on the home thread, so no subscriber ever has to hop.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from psygnal import Signal

Result = TypeVar("Result")
Job = Generator[Any, None, Result]

NICENESS = 10
"""How far the compute thread stands back, as `nice` counts."""

POLL_S = 0.05
"""How soon a job that rests notices who else wants the thread."""

LONG_S = 0.3
"""What takes longer than this is offered to be stopped."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `done` of `total` steps, and what it is doing in the reader's words.

    Steps aside, before or after those that take the time, tell nothing about how long the whole will take.
    """

    done: int
    total: int
    doing: str = ""
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Remark:
    """Something a job tells on its way, in one sentence."""

    words: str


class LeftError(ValueError):
    """What an earlier run left cannot be gone on with; whoever asks knows how to start anew."""


class Enough:
    """A wish that a job end early with what it has; asked on any thread, looked at by the job."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """Ask for the end."""
        self._asked.set()

    def __call__(self) -> bool:
        """Whether it was asked for."""
        return self._asked.is_set()


def drain(job: Job[Result], on_step: Callable[[Any], None] | None = None) -> Result:
    """Run a job to its end on this thread and return its result.

    Parameters
    ----------
    job
        The generator to run.
    on_step
        Called with everything it yields.
    """
    try:
        while True:
            try:
                step = next(job)
            except StopIteration as end:
                result: Result = end.value
                return result
            if on_step is not None:
                on_step(step)
    finally:
        job.close()


def retold(job: Job[Result], tell: Callable[[Progress], Progress]) -> Job[Result]:
    """Run a job as part of a larger one, its progress told as the larger one's; of all else only remarks are passed on.

    Parameters
    ----------
    job
        The generator to run.
    tell
        From the part's progress to the whole's.
    """

    def told(step: Any) -> tuple[Any, ...]:
        if isinstance(step, Progress):
            return (tell(step),)
        return (step,) if isinstance(step, Remark) else ()

    return (yield from _passed_on(job, told))


def overheard(job: Job[Result], hear: Callable[[Any], None]) -> Job[Result]:
    """Run a job as it is, and let somebody hear everything it yields before it is passed on."""

    def told(step: Any) -> tuple[Any]:
        hear(step)
        return (step,)

    return (yield from _passed_on(job, told))


def _passed_on(job: Job[Result], changed: Callable[[Any], tuple[Any, ...]]) -> Job[Result]:
    try:
        while True:
            try:
                step = next(job)
            except StopIteration as end:
                result: Result = end.value
                return result
            yield from changed(step)
    finally:
        job.close()


class Run(Generic[Result]):
    """One job in the hands of a `JobRunner`.

    Its signals fire on the home thread: `stepped` for all the job yields, then one of the other three, once.

    Parameters
    ----------
    job
        The generator to run.
    title
        What the reader is told is going on.
    enough
        Where the job can end early with what it has: what `wrap_up` asks.
    gives_way
        Whether it takes minutes and lets shorter ones go first, between any two of its steps and while it is paused.
    """

    stepped = Signal(object)
    finished = Signal(object)
    cancelled = Signal()
    failed = Signal(Exception)

    def __init__(self, job: Job[Result], title: str, enough: Enough | None = None, *, gives_way: bool = False) -> None:
        self.title = title
        self.enough = enough
        self.gives_way = gives_way
        self.progress = Progress(0, 0, title)
        self.started_at: float | None = None
        self.over = False
        self._job = job
        self._stop = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._went_on_at = 0.0
        self._paced_from: tuple[float | None, int] = (None, 0)
        self._worked_s: float | None = None

    def cancel(self) -> None:
        """Ask the job to stop; it does at its next step."""
        self._stop.set()
        self._going.set()

    def pause(self) -> None:
        """Let the job rest once it has told how far it is, until it is to go on.

        What waits behind it waits too, unless it gives way.
        """
        if self._paused_at is None:
            self._paused_at = time.monotonic()
            self._going.clear()

    def go_on(self) -> None:
        """Let a paused job go on."""
        if self._paused_at is not None:
            self._went_on_at = time.monotonic()
            self._paused_s += self._went_on_at - self._paused_at
            self._paused_at = None
            self._going.set()

    def wrap_up(self) -> None:
        """Ask the job to end early with what it has; it does at its next step, where it can at all."""
        if self.enough is not None:
            self.enough.ask()
            self.go_on()

    @property
    def is_wrapping_up(self) -> bool:
        """Whether it was asked to end early with what it has."""
        return self.enough is not None and self.enough()

    @property
    def seems_long(self) -> bool:
        """Whether it has been at work for so long that the reader may want to stop it."""
        return self.started_at is not None and time.monotonic() - self.started_at > LONG_S

    @property
    def is_paused(self) -> bool:
        """Whether it rests."""
        return self._paused_at is not None

    @property
    def is_cancelling(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the pace so far; None before the first step, aside, and once it is to be wrapped up.

        A step that takes longer than those before does not raise it until it is done.
        """
        done = self.progress.done - self._paced_from[1]
        at_work_s = self._at_work_s()
        if at_work_s is None or done <= 0 or self.progress.aside or self.is_wrapping_up:
            return None
        worked_s = at_work_s if self._worked_s is None else self._worked_s
        step_s, left = worked_s / done, self.progress.total - self.progress.done
        return max(0.0, step_s * left - min(at_work_s - worked_s, step_s))

    def take(self, progress: Progress) -> None:
        """Note how far it is; after steps aside, and the rests among them, the pace is counted anew."""
        if self.progress.aside and not progress.aside:
            self._paced_from, self._paused_s = (time.monotonic(), progress.done), 0.0
        if progress.done != self.progress.done:
            self._worked_s = self._at_work_s()
        self.progress = progress

    def note_others(self, began_s: float, ended_s: float) -> None:
        """Leave out of the time that it was at work what others were, where it did not rest anyway."""
        began_s = max(began_s, self._went_on_at)
        ended_s = ended_s if self._paused_at is None else min(ended_s, self._paused_at)
        self._paused_s += max(0.0, ended_s - began_s)

    def _at_work_s(self) -> float | None:
        """Return how long it has been at work since the pace is counted, rests left out; None before it begins."""
        began_s = self._paced_from[0] or self.started_at
        if began_s is None:
            return None
        resting_s = 0.0 if self._paused_at is None else time.monotonic() - self._paused_at
        return time.monotonic() - began_s - self._paused_s - resting_s


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
                    step = next(run._job)
                except StopIteration as end:
                    self._mail.put(partial(self._end, run, "finished", end.value))
                    return
                self._mail.put(partial(self._deliver, run, step))
                may_rest = isinstance(step, Progress)  # what is told before belongs to the same step
            run._job.close()
            self._mail.put(partial(self._end, run, "cancelled"))
        except Exception as error:  # noqa: BLE001 - the only wall a job can hit
            self._mail.put(partial(self._end, run, "failed", error))

    def _rest(self, run: Run[Any]) -> None:
        """Wait while a run is paused; do meanwhile, and before it goes on, what it gives way to."""
        if not run.gives_way:
            run._going.wait()
            return
        while not run.is_cancelling:
            is_going = run._going.is_set()
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
