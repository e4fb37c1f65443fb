"""One stage of a network taught what was reviewed, held to what it knew, with less memory if there is not enough."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from napari_covseg.io.sentences import sentence_of
from napari_covseg.jobs import Job, LeftError, Remark, overheard
from napari_covseg.training import loop
from napari_covseg.training.check import held_out_check
from napari_covseg.training.classroom import Classroom, Pupil, mixed_source, parts_of
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.done import Attempt
from napari_covseg.training.frugal import is_out_of_memory, ladder
from napari_covseg.training.keeping import Keeping, freeze, held_to
from napari_covseg.training.loop import UNSAVED, EndedEarly, trained
from napari_covseg.training.losses import stage_loss
from napari_covseg.training.run_files import finished_in, keep_finished
from napari_covseg.training.tensor_files import read_tensors

SAVE_EVERY_SECONDS = 20
"""A fine-tuning takes a minute or two; what a kill may cost is less than in a training of hours."""


def schooled(
    network: nn.Module,
    room: Classroom,
    pupil: Pupil,
    config: TrainingConfig,
    keeping: Keeping,
    *,
    device: torch.device,
    files: tuple[Path, Path],
    enough: Callable[[], bool] = lambda: False,
) -> Job[nn.Module]:
    """Teach a stage; yields attempts, what the loop yields, and a remark whenever memory ran out; returns the stage.

    Parameters
    ----------
    network
        The stage as the parent has it; left as it was.
    room, pupil, config, keeping
        What is taught to whom, and how.
    device
        Where to compute.
    files
        What is saved on the way, gone on with where it is there, and the finished stage.
    enough
        Whether somebody wants it to end with the best so far.

    Raises
    ------
    ValueError
        If memory ran out on the last rung of the ladder too.
    """
    state_file, finished_file = files
    if finished_file.exists():
        taught = deepcopy(network)
        weights, ended_early = finished_in(finished_file, config)
        taught.load_state_dict(weights)
        if ended_early:
            yield EndedEarly()
        return taught
    where, attempt = device, config
    rungs = ladder(config, device, pupil.spec.multiple_of)
    saved = _saved_config(state_file)
    while True:
        ending = _Ending()
        job = _lesson(network, room, pupil, attempt, keeping, where, state_file, enough)
        try:
            skipped = saved is not None and saved != _without_parts(attempt)
            if not skipped:
                yield Attempt(pupil.stage.name, attempt, where.type)
            module = None if skipped else (yield from overheard(job, ending.note))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            module, saved, skipped = None, None, False
        if module is not None:
            try:
                keep_finished(finished_file, module, config, ended_early=ending.came)
                state_file.unlink(missing_ok=True)
            except OSError as error:  # what is learned is in memory; only a kill before it is judged would cost it
                yield Remark(f"{sentence_of(error, '')} {UNSAVED}")
            return module
        job.close()
        words, attempt, kind = next(rungs, ("", attempt, ""))
        if not kind and saved is not None:
            raise LeftError(f"{state_file.name} belongs to a training with other settings; give them, or start anew.")
        if not kind:
            raise ValueError("There is not enough memory to learn, even in the smallest pieces; close other programs.")
        where = torch.device(kind) if kind != where.type else where
        if not skipped:
            state_file.unlink(missing_ok=True)
            torch.cuda.empty_cache()
            yield Remark(f"Memory ran out; trying again {words}.")


@dataclass(slots=True)
class _Ending:
    """Whether a stage was told to have ended early."""

    came: bool = False

    def note(self, step: object) -> None:
        """Take what a stage yields."""
        self.came = self.came or isinstance(step, EndedEarly)


def _lesson(
    network: nn.Module,
    room: Classroom,
    pupil: Pupil,
    config: TrainingConfig,
    keeping: Keeping,
    device: torch.device,
    state_file: Path,
    enough: Callable[[], bool],
) -> Job[nn.Module | None]:
    spec, stage, scheme = pupil
    own = deepcopy(network)
    if keeping.freeze_encoder:
        freeze(own, spec.encoder)
    sources = parts_of(room, pupil, config, keeping)
    config = replace(config, parts=len(sources))
    taught = yield from trained(
        own,
        mixed_source(sources),
        stage_loss(stage, scheme, config.loss),
        config,
        device=device,
        state_file=state_file,
        save_every_s=min(SAVE_EVERY_SECONDS, loop.SAVE_EVERY_SECONDS),
        watch=held_out_check(room.watched, spec, stage, scheme, config, device),
        enough=enough,
        beside=held_to(network, stage, scheme, keeping, len(sources)),
    )
    if taught is None:
        raise RuntimeError("A fine-tuning without a time limit ended early.")
    return taught.requires_grad_(True)


def _saved_config(state_file: Path) -> dict[str, object] | None:
    """Return the settings of a saved training, without how many parts its steps have."""
    if not state_file.exists():
        return None
    saved: dict[str, object] = read_tensors(state_file)["config"]
    return {name: value for name, value in saved.items() if name != "parts"}


def _without_parts(config: TrainingConfig) -> dict[str, object]:
    return {name: value for name, value in asdict(config).items() if name != "parts"}
