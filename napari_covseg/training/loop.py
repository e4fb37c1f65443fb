"""The training loop: one page, told in steps, resumable; `Learner` takes the steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

import torch
from torch import nn

from napari_covseg.io.sentences import sentence_of
from napari_covseg.jobs import Job, Progress, Remark
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.learner import Beside, Learner, Loss
from napari_covseg.training.processes import Processes
from napari_covseg.training.source import BatchSource, prepared_ahead
from napari_covseg.training.unbroken import unbroken

UNSAVED = "The training goes on, but what it learned so far would be lost in a kill."

SAVE_EVERY_SECONDS = 120


@dataclass(frozen=True, slots=True)
class StepDone:
    """One optimiser step: its number, from 1, the loss of its batch, and its learning rate."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class CheckDone:
    """The averaged weights were looked at after a step: their loss on what is held out."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class EndedEarly:
    """A reader, or the time she gave, ended it, and the weights that were best at a check are kept, not the last."""


def trained(
    module: nn.Module,
    batch_at: BatchSource,
    loss: Loss,
    config: TrainingConfig,
    *,
    device: torch.device | None = None,
    state_file: Path | None = None,
    deadline: float = inf,
    workers: int = 0,
    check: Callable[[nn.Module], float] | None = None,
    watch: Callable[[nn.Module], float] | None = None,
    enough: Callable[[], bool] = lambda: False,
    beside: Beside | None = None,
    save_every_s: float | None = None,
) -> Job[nn.Module | None]:
    """Train a network; yields `StepDone`, `CheckDone`, `EndedEarly` and `Progress`, returns the averaged weights.

    Parameters
    ----------
    module
        The stage to train, changed in place.
    batch_at
        From step and part to batch; it depends on these alone, so that a resumed training goes on where it was.
    loss
        From logits, labels and annotated classes to a scalar.
    config
        Settings.
    device
        Where to compute.
    state_file
        Saved every few minutes, and after the last whole step when the job is closed or Ctrl-C is pressed; resumed from
        where it exists.
    deadline
        Stop at this `time.monotonic`; with a state file the training can go on later, and None is returned.
    workers
        Processes that prepare batches ahead, which a GPU needs to be kept busy; without, each is prepared in its turn.
    check
        From the averaged weights to a loss; the best are kept, and training stops when they get no better.
    watch
        As a check, but it chooses nothing: the last averaged weights are kept, unless it was `enough`.
    enough
        Whether somebody wants it to end after this step, with the best that was checked or watched so far.
    beside
        What is added to the loss of every part.
    save_every_s
        How often the state file is written; `SAVE_EVERY_SECONDS` without.

    Raises
    ------
    OSError
        If time is up and the state file cannot be written; before, a remark says so and the training goes on.
    ValueError
        If the state file is damaged or belongs to other settings, or the loss is no number any more.
    """
    processes = Processes.here()
    run = Learner(module, config, device or torch.device("cpu"), beside)
    looked_at = check or watch
    between_s = SAVE_EVERY_SECONDS if save_every_s is None else save_every_s
    first = run.resumed(state_file) if state_file else 0
    saved_at, unsaved = time.monotonic(), False
    parts = processes.share(config.parts)
    places = [(step, part) for step in range(first, config.steps) for part in parts]
    ahead = prepared_ahead(batch_at, places, workers)
    taken, saved, is_whole = first, first, True
    try:
        for step in range(first, config.steps):
            batches = [next(ahead) for _ in parts]
            with unbroken():
                is_whole, is_checked = False, looked_at is not None and _is_check(step + 1, config)
                value = run.step(step, batches, loss, processes)
                checked = run.keep_if_better(looked_at(run.average)) if looked_at and is_checked else inf
                taken, is_whole = step + 1, True
            yield StepDone(step + 1, value, run.learning_rate(step))
            if is_checked:
                yield CheckDone(step + 1, checked)
                if check and config.patience and processes.any(run.worse_checks >= config.patience):
                    break
            yield Progress(step + 1, config.steps, f"learning, loss {value:.3f}")
            if enough():
                if run.best_state is not None:
                    yield EndedEarly()
                return run.best()
            now = time.monotonic()
            out_of_time = step + 1 < config.steps and deadline < inf and processes.any(now > deadline)
            if state_file and processes.first and (out_of_time or now - saved_at > between_s):
                saved_at = now
                try:
                    run.save(state_file, step + 1)
                    saved = step + 1
                except OSError as error:
                    if out_of_time:
                        raise
                    if not unsaved:
                        yield Remark(f"{sentence_of(error, '')} {UNSAVED}")
                    unsaved = True
            if out_of_time:
                return None
    except (GeneratorExit, KeyboardInterrupt):
        if state_file and processes.first and is_whole and taken > saved:
            with suppress(OSError):
                run.save(state_file, taken)
        raise
    return run.best() if check else run.average


def _is_check(step: int, config: TrainingConfig) -> bool:
    return step == config.steps or step % max(1, config.steps // config.checks) == 0
