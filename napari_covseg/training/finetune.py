"""Teach a checkpoint what a reader corrected; only reviewed slices are truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from napari_covseg.inference import Segmenter
from napari_covseg.jobs import Job, Progress, retold
from napari_covseg.measure import Agreement, agreements, pooled
from napari_covseg.networks import Card, Checkpoint, NetworkSpec, checkpoint
from napari_covseg.training.batches import batch_source
from napari_covseg.training.loop import TrainingConfig, trained
from napari_covseg.training.losses import stage_loss
from napari_covseg.training.recipes import training_config
from napari_covseg.training.regions import with_regions
from napari_covseg.training.stacks import Stack, stack_of
from napari_covseg.training.train import TERMS
from napari_covseg.volume import LabelMap, Volume

ALL_CLASSES = frozenset({"ggo", "consolidation", "effusion"})
"""What a reader who marks a slice reviewed has looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What one session has to teach.

    Parameters
    ----------
    scan, labels
        In reading order; the labels are a copy that later edits do not reach.
    reviewed
        Indices of the reviewed slices.
    scan_sha256
        Which scan it was.
    """

    scan: Volume
    labels: LabelMap
    reviewed: tuple[int, ...]
    scan_sha256: str


def short_run(spec: NetworkSpec, steps: int = 40, seed: int = 0) -> TrainingConfig:
    """Return settings for a run of a minute or so on a few slices: the shipped recipe's pieces, a smaller rate."""
    return replace(
        training_config(spec, "shipped", steps=steps, learning_rate=3e-4, seed=seed),
        warm_up=0.1,
        ema_decay=0.9,
        freeze_batch_norm=True,
    )


def finetuned(
    parent: Checkpoint,
    lessons: Sequence[Lesson],
    out: Path,
    *,
    config: TrainingConfig,
    device: str = "auto",
) -> Job[Checkpoint]:
    """Fine-tune a checkpoint on the reviewed slices; yields what the loop yields, returns the child.

    Parameters
    ----------
    parent
        Where to start; it is not changed.
    lessons
        One per session.
    out
        The child's file.
    config
        Settings, as `short_run` gives them.
    device
        Where to compute.

    Raises
    ------
    ValueError
        If no slice is reviewed.
    """
    if not any(lesson.reviewed for lesson in lessons):
        raise ValueError("No slice is marked reviewed yet; mark at least one, since only reviewed slices are learned.")
    yield Progress(0, config.steps, "preparing the reviewed slices")
    torch.manual_seed(config.seed)
    network = Segmenter(parent, device)
    spec, scheme = network.spec, parent.card.scheme
    stacks = [stack_of_lesson(lesson, spec) for lesson in lessons if lesson.reviewed]
    before = yield from _dice(network, lessons, "measuring before")
    for stage in spec.stages:
        if stage.target != "lung":
            learned = yield from trained(
                network.module[stage.name],
                batch_source(stacks, spec, stage, scheme, config),
                stage_loss(stage, scheme, config.loss),
                config,
                device=network.device,
            )
            network.module[stage.name] = _present(learned)
        if stage is not spec.stages[-1]:
            stacks = yield from with_regions(stacks, network.module[stage.name], stage, scheme, network.device)
    after = yield from _dice(network, lessons, "measuring after")
    metrics: dict[str, object] = {"on_the_learned_slices": {"before": before, "after": after}}
    slices = sum(len(lesson.reviewed) for lesson in lessons)
    return checkpoint.save(network.module.cpu(), _card(parent, lessons, slices, config, metrics), out)


def _present(learned: nn.Module | None) -> nn.Module:
    if learned is None:
        raise RuntimeError("A fine-tuning without a time limit ended early.")
    return learned


def stack_of_lesson(lesson: Lesson, spec: NetworkSpec) -> Stack:
    """Return a lesson as a network sees it; on slices that were not reviewed nobody looked at anything."""
    return stack_of(
        lesson.scan,
        lesson.labels,
        None,
        spec,
        annotated=ALL_CLASSES,
        case=lesson.scan.name,
        patient=lesson.scan_sha256,
        slices=lesson.reviewed,
    )


def _dice(network: Segmenter, lessons: Sequence[Lesson], doing: str) -> Job[dict[str, float]]:
    """Return the Dice of every class over all reviewed slices of all lessons, by name."""
    known = network.checkpoint.card.scheme
    found: dict[str, list[Agreement]] = defaultdict(list)
    done, total = 0, sum(len(lesson.reviewed) for lesson in lessons)
    for lesson in lessons:
        job = network.segment(lesson.scan, lesson.reviewed)
        proposal = yield from retold(job, partial(_as_part, done, total, doing))
        scored = agreements(proposal.labels, lesson.labels, known=known, annotated=ALL_CLASSES, slices=lesson.reviewed)
        for name, agreement in scored.items():
            found[name].append(agreement)
        done += len(lesson.reviewed)
    dice = {name: pooled(parts).dice for name, parts in found.items()}
    return {f"dice_{name}": round(value, 4) for name, value in sorted(dice.items()) if value is not None}


def _as_part(done: int, total: int, doing: str, step: Progress) -> Progress:
    return Progress(min(done + step.done, total), total, doing)


def _card(
    parent: Checkpoint,
    lessons: Sequence[Lesson],
    slices: int,
    config: TrainingConfig,
    metrics: dict[str, object],
) -> Card:
    return Card(
        network=parent.card.network,
        width=parent.card.width,
        scheme=parent.card.scheme,
        trained_on=f"{slices} reviewed slices of {len(lessons)} sessions",
        terms=parent.card.terms or TERMS,
        parent_sha256=parent.sha256,
        sessions_sha256=tuple(lesson.scan_sha256 for lesson in lessons),
        config=asdict(config),
        metrics=metrics,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=version("napari-covseg"),
    )
