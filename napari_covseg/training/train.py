"""Train a network on annotated cases and keep it as a checkpoint."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_covseg.inference import Segmenter, chosen_device
from napari_covseg.io.case_doubts import Doubts
from napari_covseg.io.cases import Case, origin_of
from napari_covseg.io.pseudonyms import patient_of_case
from napari_covseg.io.sentences import sentence_of
from napari_covseg.jobs import Job, Progress, Remark, retold
from napari_covseg.networks import Card, Checkpoint, NetworkSpec, checkpoint, load
from napari_covseg.networks.learned import Learned, Places, Record, learned_by, merged
from napari_covseg.networks.spec import Names, Stage, Width
from napari_covseg.training.batches import batch_source, check_taught, teaches
from napari_covseg.training.check import check_sample, held_out_check
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.evaluation import evaluated
from napari_covseg.training.log import check_log_is_possible, logged
from napari_covseg.training.loop import UNSAVED, trained
from napari_covseg.training.losses import stage_loss
from napari_covseg.training.made import commit
from napari_covseg.training.processes import Processes
from napari_covseg.training.regions import with_regions
from napari_covseg.training.run_files import RunFiles, alone, finished_in, keep_finished
from napari_covseg.training.saving import saved, told_elsewhere
from napari_covseg.training.stacks import Stack, read_stacks
from napari_covseg.training.taking_up import (
    CASES_KEY,
    CONTENTS_KEY,
    contents,
    fingerprint,
    is_measured,
    patients_of,
    taken_up,
)
from napari_covseg.volume import Volume

TERMS = "Non-commercial research use only; not a medical device."

LUNG_SHARE = 0.5
"""The lung is learned in this share of the steps: it is easier than what lies in it."""


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train, on what, and where the result goes.

    Parameters
    ----------
    network, width, scheme
        Registry key, width and ordered lesion classes.
    out
        Checkpoint file; beside it lies, until it is there, what a later call resumes from.
    config
        Settings of the loop, for every stage of a cascade; a lung stage takes `LUNG_SHARE` of the steps.
    held_out
        Patients kept away from training; a sample of their slices chooses the step that is kept (`training.check`).
    device, minutes, resume
        Where, for how long at most, and whether to go on from the state files.
    overwrite
        Whether a file that is there, and is not of this training, is replaced.
    parent
        Start from these weights; of another class scheme, all but the last convolution are taken (common.md §2 rule 4).
    log
        Folder for what TensorBoard reads, one run per stage.
    workers
        Processes that prepare batches; without, as many as the device needs.
    """

    network: str
    out: Path
    config: TrainingConfig
    width: Width = "compact"
    scheme: Names = ("ggo", "consolidation", "effusion")
    held_out: frozenset[str] = frozenset()
    device: str = "auto"
    minutes: float | None = None
    resume: bool = False
    overwrite: bool = False
    parent: Checkpoint | None = None
    log: Path | None = None
    workers: int | None = None

    @property
    def files(self) -> RunFiles:
        """What lies beside the checkpoint until it is there."""
        return RunFiles(self.out, ".about")


@dataclass(frozen=True, slots=True)
class _Stacks:
    """What is taught, and what the training is checked with as it goes."""

    taught: Sequence[Stack]
    checked: Sequence[Stack]


def train(request: TrainingRequest, cases: Sequence[Case]) -> Job[Checkpoint | None]:
    """Train from scratch; yields what the loop yields, returns the checkpoint, or None when it ran out of time.

    The stages of a cascade are trained one after the other, each on what the finished ones before it see. Where nobody
    drew a lung, a lung stage stays as the parent has it.

    Raises
    ------
    ValueError
        If nothing is left to train on, a held-out patient is in no case, no case teaches a stage, a log is wanted
        where TensorBoard is missing, the checkpoint may not be overwritten or is made by another run now, or another
        training is to be resumed.
    """
    if request.log is not None:
        check_log_is_possible()
    checkpoint.check_free(request.out, request.parent.sha256 if request.parent else "")
    missing = request.held_out - {case.patient for case in cases}
    if missing:
        named = f"held-out patient{'s' * (len(missing) > 1)} {', '.join(sorted(missing))}"
        raise ValueError(f"No case is of the {named}; cases.json names the patients.")
    taught = [case for case in cases if case.patient not in request.held_out]
    if not taught:
        raise ValueError("Every case is held out; nothing is left to train on.")
    with alone(request.out) if Processes.here().first else nullcontext():
        return (yield from _trained(request, cases, taught))


def _trained(request: TrainingRequest, cases: Sequence[Case], taught: Sequence[Case]) -> Job[Checkpoint | None]:
    held_out = [case for case in cases if case.patient in request.held_out]
    doubts = Doubts()
    kept = yield from taken_up(request, taught)
    if kept is None:
        try:
            kept = yield from _saved(request, taught, held_out, doubts)
        except BaseException:  # stopped, too
            if Processes.here().first and not request.files.hold_any_work:
                request.files.forget()  # what says which training it was, with nothing of it to go on with
            raise
    if kept is None or not Processes.here().first:
        return kept
    if not is_measured(kept, request):
        kept = yield from measured(kept, held_out, request.device, doubts)
    with suppress(OSError):  # of a folder that takes no file any more
        request.files.forget()  # not before: a run that is killed while it measures would be trained again
    return kept


def _saved(
    request: TrainingRequest, taught: Sequence[Case], held_out: Sequence[Case], doubts: Doubts
) -> Job[Checkpoint | None]:
    """Train every stage and save the checkpoint, not measured yet; None when time ran out."""
    started = time.monotonic()
    spec, device = load(request.network), chosen_device(request.device)
    torch.manual_seed(request.config.seed)
    module = _first_weights(request, spec)
    learned: dict[str, Learned] = {}
    stacks = _Stacks(
        (yield from read_stacks(taught, spec, partial(_note, learned), doubts)),
        check_sample((yield from read_stacks(held_out, spec, doubts=doubts)), spec),
    )
    staying = [stage for stage in spec.stages if _stays(request, stage, stacks.taught)]
    check_taught(stacks.taught, spec, [stage for stage in spec.stages if stage not in staying], request.scheme)
    for stage in staying:
        yield Remark(f"No annotated slice has a lung mask; the {stage.name} part of {spec.title} stays as it was.")
    deadline = inf if request.minutes is None else started + 60 * request.minutes
    for position, stage in enumerate(spec.stages):
        job = _learned(request, spec, stage, module[stage.name], stacks, device, deadline)
        finished = module[stage.name] if stage in staying else (yield from job)
        if finished is None:
            return None
        module[stage.name] = finished
        if position + 1 < len(spec.stages):
            seen = (finished, stage, request.scheme, device)
            stacks = _Stacks(
                (yield from with_regions(stacks.taught, *seen)), (yield from with_regions(stacks.checked, *seen))
            )
    processes = Processes.here()
    if processes.first:
        card = _card(request, taught, learned, round(time.monotonic() - started))
        kept, why_elsewhere = saved(module.cpu(), card, request.out)
        if why_elsewhere is None:
            request.files.say_saved()
        else:
            yield told_elsewhere(kept, why_elsewhere)
        processes.wait()
        return kept
    processes.wait()
    return checkpoint.read(request.out)


def measured(
    kept: Checkpoint, cases: Sequence[Case], device: str = "auto", doubts: Doubts | None = None
) -> Job[Checkpoint]:
    """Write into a checkpoint's card what it is worth on cases it was not taught; yields progress per case.

    Where the same patients chose the step that was kept, as in `train`, the figures flatter a little; cross-validation
    (``benchmarks/crossval.py``) lets nobody choose.

    Parameters
    ----------
    kept
        The checkpoint; its file is written again, its weights stay as they are.
    cases
        Of held-out patients.
    device
        Where to segment them.
    doubts
        What of these cases was told before.
    """
    evaluation = yield from retold(evaluated(Segmenter(kept, device), cases, doubts=doubts), _as_measuring)
    dice = {f"dice_{name}": scores["dice"] for name, scores in evaluation.pooled().items()}
    known = {name: round(value, 4) for name, value in sorted(dice.items()) if value is not None}
    metrics = {"held_out": sorted({case.patient for case in cases}), "held_out_pooled": known}
    return checkpoint.save(checkpoint.revived(kept), kept.card.model_copy(update={"metrics": metrics}), kept.path)


def stage_config(config: TrainingConfig, stage: Stage) -> TrainingConfig:
    """Return the settings of one stage."""
    return replace(config, steps=max(1, round(config.steps * LUNG_SHARE))) if stage.target == "lung" else config


def _learned(
    request: TrainingRequest,
    spec: NetworkSpec,
    stage: Stage,
    network: nn.Module,
    stacks: _Stacks,
    device: torch.device,
    deadline: float,
) -> Job[nn.Module | None]:
    done, config = request.files.finished(stage), stage_config(request.config, stage)
    if done.exists():
        network.load_state_dict(finished_in(done, config)[0])
        return network
    torch.manual_seed(config.seed)  # as it is where the stages before were finished by an earlier call
    job = trained(
        network,
        batch_source(stacks.taught, spec, stage, request.scheme, config),
        stage_loss(stage, request.scheme, config.loss),
        config,
        device=device,
        state_file=request.files.state(stage),
        deadline=deadline,
        workers=_workers(device) if request.workers is None else request.workers,
        check=held_out_check(stacks.checked, spec, stage, request.scheme, config, device),
    )
    finished = yield from (job if request.log is None else logged(job, request.log / stage.name))
    if finished is not None and Processes.here().first:
        try:
            keep_finished(done, finished, config)
        except OSError as error:  # it is in memory
            yield Remark(f"{sentence_of(error, '')} {UNSAVED}")
    return finished


def _as_measuring(step: Progress) -> Progress:
    return replace(step, doing=f"measuring on the patients held out{step.doing and ', '}{step.doing}")


def _stays(request: TrainingRequest, stage: Stage, taught: Sequence[Stack]) -> bool:
    """Whether a stage is the parent's: without a lung mask nothing teaches the lung, and the parent knows one."""
    return request.parent is not None and stage.target == "lung" and not teaches(taught, stage, request.scheme)


def _workers(device: torch.device) -> int:
    """Return how many processes prepare batches: on a CPU none, since the network needs it itself."""
    return 0 if device.type == "cpu" else max(1, min(8, (os.cpu_count() or 1) - 1))


def _first_weights(request: TrainingRequest, spec: NetworkSpec) -> nn.ModuleDict:
    module = spec.build(request.scheme, request.width)
    if request.parent is not None:
        card = request.parent.card
        if (card.network, card.width) != (request.network, request.width):
            raise ValueError(
                f"{request.parent.name} is a {card.width} {card.network}; "
                f"a {request.width} {request.network} cannot start from it."
            )
        checkpoint.adopt(module, request.scheme, request.parent)
    return module


def _note(learned: dict[str, Learned], case: Case, scan: Volume) -> None:
    """Note which slices of which scan teach: none of them may judge what is fine-tuned from these weights."""
    origin = origin_of(case, scan)
    if not origin.voxels_sha256:
        return
    indices = [origin.first + index for index in case.indices(scan.geometry.shape[0])]
    patients = frozenset(filter(None, [patient_of_case(case)]))
    places = None if case.is_picture else Places.of(scan.geometry, origin.first)
    seen = Learned.of(indices, (), origin.slices_sha256).in_patient(patients, places)
    learned[origin.voxels_sha256] = seen.beside(learned.get(origin.voxels_sha256, Learned()))


def _card(request: TrainingRequest, cases: Sequence[Case], learned: Record, seconds: int) -> Card:
    config: dict[str, Any] = {
        **asdict(request.config),
        "held_out": sorted(request.held_out),
        "seconds_last_call": seconds,
        CASES_KEY: fingerprint(cases),
        CONTENTS_KEY: contents(cases),
    }
    return Card(
        network=request.network,
        width=request.width,
        scheme=request.scheme,
        trained_on=patients_of(request, cases),
        terms=TERMS,
        parent_sha256=request.parent.sha256 if request.parent else "",
        learned=merged(learned_by(request.parent.card) if request.parent else {}, learned),
        config=config,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=version("napari-covseg"),
        commit=commit(),
    )
