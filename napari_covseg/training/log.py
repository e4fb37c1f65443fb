"""A log of a training that TensorBoard reads: the loss, the learning rate, and the loss on what is held out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from napari_covseg.jobs import Job, overheard
from napari_covseg.training.loop import CheckDone, StepDone
from napari_covseg.training.processes import Processes

Result = TypeVar("Result")


def check_log_is_possible() -> None:
    """Refuse a log where TensorBoard is not installed.

    Raises
    ------
    ValueError
        If it is not; the sentence names what to install.
    """
    if find_spec("tensorboard") is None:
        raise ValueError("A log needs TensorBoard, which is not here; pip install 'napari-covseg[train]' brings it.")


def logged(job: Job[Result], folder: Path) -> Job[Result]:
    """Do a training job and write its losses and rates to event files in a folder; yields what the job yields.

    A resumed training goes on in the same folder, and what it does again replaces what was there. Of several processes
    only the first writes.
    """
    if not Processes.here().first:
        return (yield from job)
    writer: Any = None

    def write(step: object) -> None:
        nonlocal writer
        if isinstance(step, StepDone | CheckDone):
            writer = writer or _writer(folder, step.step)
            _write(writer, step)

    try:
        return (yield from overheard(job, write))
    finally:
        if writer is not None:
            writer.close()


def _writer(folder: Path, first_step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_step)


def _write(writer: Any, step: StepDone | CheckDone) -> None:
    if isinstance(step, CheckDone):
        writer.add_scalar("check loss", step.loss, step.step)
        return
    writer.add_scalar("loss", step.loss, step.step)
    writer.add_scalar("learning rate", step.learning_rate, step.step)
