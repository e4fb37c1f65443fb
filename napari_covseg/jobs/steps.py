"""What a job yields, and how one is run through or becomes part of a larger one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")
Job = Generator[Any, None, Result]


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


def drain(job: Job[Result], on_step: Callable[[Any], None] | None = None) -> Result:
    """Run a job to its end on this thread and return its result.

    Parameters
    ----------
    job
        The generator to run.
    on_step
        Called with everything it yields.
    """
    ended: list[Result] = []
    with closing(_noted(job, ended)) as steps:
        for step in steps:
            if on_step is not None:
                on_step(step)
    return ended[0]


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

    return (yield from passed_on(job, told))


def overheard(job: Job[Result], hear: Callable[[Any], None]) -> Job[Result]:
    """Run a job as it is, and let somebody hear everything it yields before it is passed on."""

    def told(step: Any) -> tuple[Any]:
        hear(step)
        return (step,)

    return (yield from passed_on(job, told))


def passed_on(job: Job[Result], changed: Callable[[Any], tuple[Any, ...]]) -> Job[Result]:
    """Run a job as it is, with other steps in the place of each of its own, none or several."""
    ended: list[Result] = []
    with closing(_noted(job, ended)) as steps:
        for step in steps:
            yield from changed(step)
    return ended[0]


def _noted(job: Job[Result], ended: list[Result]) -> Job[None]:
    """Yield what a job yields, and note its result, which a loop over it would lose."""
    ended.append((yield from job))
