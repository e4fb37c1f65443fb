"""How a verb speaks: remarks and progress on stderr, its answer alone on stdout."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import typer

from napari_covseg.jobs import Job, Progress, Remark, drain

Result = TypeVar("Result")
Listener = Callable[[Any], None]

LINE_EVERY_S = 5.0
"""Away from a terminal, progress is told about this often."""


def speaks() -> bool:
    """Whether this process tells what is done: of several that ``torchrun`` started, only the first."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"


def say(sentence: str) -> None:
    """Tell the person at the keyboard something, on stderr."""
    typer.echo(sentence, err=True)


def about(path: Path, sentence: str) -> str:
    """Return a sentence with the name of the scan it is about before it, unless it says so itself."""
    from napari_covseg.io import stem_of

    return sentence if stem_of(path) in sentence else f"{path.name}: {sentence}"


def show(answer: Any) -> None:
    """Print a verb's answer for people, a text or a rich table, on stdout; its words are never markup."""
    from rich.console import Console

    if isinstance(answer, str):
        typer.echo(answer)
        return
    console = Console(markup=False, emoji=False)  # ``[B40]`` and ``:lung:`` in a file's name are its name
    if not console.is_terminal:
        console.width = 200  # a file has no edge to fold at
    console.print(answer)


def table(*columns: str) -> Any:
    """Return an empty table with these headings; ``>`` before a heading aligns its column to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    empty = Table(box=SIMPLE_HEAD)
    for heading in columns:
        empty.add_column(heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left")
    return empty


def followed(job: Job[Result], title: str) -> Result:
    """Run a job to its end, telling how it goes, and return its result."""
    with following(title) as tell, sigterm_as_ctrl_c():
        return drain(job, tell)


@contextmanager
def following(title: str) -> Iterator[Listener]:
    """Yield what is to be told every step of a job: a bar on a terminal, plain lines elsewhere."""
    from rich.console import Console

    if not speaks():
        yield _nobody
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines(title)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    words = TextColumn("{task.description}", markup=False)
    with Bars(words, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console) as bars:
        task = bars.add_task(title, total=None)

        def tell(step: Any) -> None:
            if isinstance(step, Remark):
                console.print(step.words, markup=False)
            elif isinstance(step, Progress):
                described = f"{title}: {step.doing}" if step.doing else title
                bars.update(task, description=described, completed=step.done, total=step.total or None)

        yield tell


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let who is asked to end, as by a cluster whose time is up, stop as with Ctrl-C and keep what was finished."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # Ctrl-C would end nothing
        return

    def press(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # asked again, it does not hurry: a second Ctrl-C would
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _nobody(_step: Any) -> None:
    """Listen, and say nothing."""


def _plain_lines(title: str) -> Listener:
    """Return a listener that prints the first step, then one every few seconds, then the last."""
    next_at_s = time.monotonic()

    def tell(step: Any) -> None:
        nonlocal next_at_s
        if isinstance(step, Remark):
            say(step.words)
        if not isinstance(step, Progress):
            return
        is_last = step.total > 0 and step.done == step.total
        if is_last or time.monotonic() >= next_at_s:
            say(f"{title}: {step.done}/{step.total} {step.doing}".rstrip())
            next_at_s = time.monotonic() + LINE_EVERY_S

    return tell
