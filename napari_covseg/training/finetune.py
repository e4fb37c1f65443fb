"""Teach a checkpoint what a reader corrected; only reviewed slices are truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from napari_covseg.inference import chosen_device
from napari_covseg.jobs import Job, Progress
from napari_covseg.networks import Card, Checkpoint, NetworkSpec, checkpoint, load
from napari_covseg.training.batches import batch_source
from napari_covseg.training.loop import TrainingConfig, trained
from napari_covseg.training.losses import marginal_loss, refuse_unteachable
from napari_covseg.training.samples import Sample, sample_of
from napari_covseg.training.train import TERMS, dice_on
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


def short_run(steps: int = 40, seed: int = 0) -> TrainingConfig:
    """Return settings for a run of a minute or so on a few slices."""
    return TrainingConfig(
        steps=steps,
        batch=4,
        learning_rate=3e-4,
        warm_up=0.1,
        ema_decay=0.9,
        seed=seed,
        freeze_batch_norm=True,
    )


def finetuned(
    parent: Checkpoint,
    lessons: Sequence[Lesson],
    out: Path,
    *,
    config: TrainingConfig | None = None,
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
        Settings; `short_run` without.
    device
        Where to compute.

    Raises
    ------
    ValueError
        If no slice is reviewed.
    """
    config = config or short_run()
    if not any(lesson.reviewed for lesson in lessons):
        raise ValueError("No slice is marked reviewed yet; mark at least one, since only reviewed slices are learned.")
    yield Progress(0, config.steps, "preparing the reviewed slices")
    spec = load(parent.card.network)
    refuse_unteachable(spec, parent.card.scheme)
    samples = [sample for lesson in lessons for sample in _samples(lesson, spec)]
    torch.manual_seed(config.seed)
    module = checkpoint.revived(parent)
    stage, scheme, chosen = spec.stages[-1], parent.card.scheme, chosen_device(device)
    before = yield from dice_on(module, spec, scheme, samples, chosen, "measuring before")
    loss = partial(marginal_loss, channels=stage.channels(scheme))
    average = yield from trained(module[stage.name], batch_source(samples, config), loss, config, device=chosen)
    if average is None:
        raise RuntimeError("A fine-tuning without a time limit ended early.")
    module[stage.name] = average
    after = yield from dice_on(module, spec, scheme, samples, chosen, "measuring after")
    metrics: dict[str, object] = {"on_the_learned_slices": {"before": before, "after": after}}
    return checkpoint.save(module.cpu(), _card(parent, lessons, len(samples), config, metrics), out)


def _samples(lesson: Lesson, spec: NetworkSpec) -> Iterable[Sample]:
    for index in lesson.reviewed:
        yield sample_of(
            lesson.scan,
            lesson.labels,
            index,
            spec,
            annotated=ALL_CLASSES,
            case=lesson.scan.name,
            patient=lesson.scan_sha256,
        )


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
