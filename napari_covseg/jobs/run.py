"""One job under way: how far it is, how long it will take, and the reader's wish that it rest, end early or stop."""

from __future__ import annotations

import threading
import time
from typing import Generic

from psygnal import Signal

from napari_covseg.jobs.steps import Job, Progress, Result

LONG_S = 0.3
"""What takes longer than this is offered to be stopped."""


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
        self.job = job
        self.title = title
        self.enough = enough
        self.gives_way = gives_way
        self.progress = Progress(0, 0, title)
        self.started_at: float | None = None
        self.over = False
        self.going = threading.Event()
        self.going.set()
        self._stop = threading.Event()
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._went_on_at = 0.0
        self._paced_from: tuple[float | None, int] = (None, 0)
        self._worked_s: float | None = None

    def cancel(self) -> None:
        """Ask the job to stop; it does at its next step."""
        self._stop.set()
        self.going.set()

    def pause(self) -> None:
        """Let the job rest once it has told how far it is, until it is to go on.

        What waits behind it waits too, unless it gives way.
        """
        if self._paused_at is None:
            self._paused_at = time.monotonic()
            self.going.clear()

    def go_on(self) -> None:
        """Let a paused job go on."""
        if self._paused_at is not None:
            self._went_on_at = time.monotonic()
            self._paused_s += self._went_on_at - self._paused_at
            self._paused_at = None
            self.going.set()

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
