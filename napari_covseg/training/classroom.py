"""What a child is shown: a step has a part of reviewed slices, one of rehearsed and one of unlabelled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from napari_covseg.networks import NetworkSpec
from napari_covseg.networks.spec import Names, Stage
from napari_covseg.training.batches import batch_source
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.crops import Crop, cropped_sample
from napari_covseg.training.keeping import NOBODY, Keeping
from napari_covseg.training.losses import teaching
from napari_covseg.training.source import Batch, BatchSource
from napari_covseg.training.stacks import IGNORED, Stack


@dataclass(frozen=True, slots=True)
class Classroom:
    """What is taught, rehearsed, left to the parent's say, and watched but never learned."""

    taught: Sequence[Stack]
    rehearsed: Sequence[Stack]
    unlabelled: Sequence[Stack]
    watched: Sequence[Stack]


class Pupil(NamedTuple):
    """Which stage of which network, and its lesion classes."""

    spec: NetworkSpec
    stage: Stage
    scheme: Names


def parts_of(room: Classroom, pupil: Pupil, config: TrainingConfig, keeping: Keeping) -> list[BatchSource]:
    """Return the sources of one stage's parts: what was reviewed, and beside it half as much of each other kind."""
    spec, stage, scheme = pupil
    beside = replace(config, batch=max(1, config.batch // 2))
    sources = [batch_source(room.taught, spec, stage, scheme, config)]
    if keeping.replay and any(teaching(stage, scheme, stack.annotated).says_something for stack in room.rehearsed):
        sources.append(batch_source(room.rehearsed, spec, stage, scheme, beside))
    if keeping.distil and room.unlabelled:
        sources.append(_unlabelled_source(room.unlabelled, pupil, beside))
    return sources


def mixed_source(sources: Sequence[BatchSource]) -> BatchSource:
    """Return the source whose part k comes from source k."""

    def batch_at(step: int, part: int = 0) -> Batch:
        return sources[part](step, part)

    return batch_at


def _unlabelled_source(stacks: Sequence[Stack], pupil: Pupil, config: TrainingConfig) -> BatchSource:
    """Return crops anywhere in slices nobody labelled; reviewed ones beside these in a patch are ignored."""
    free = [np.flatnonzero((stack.labels != IGNORED).any(axis=(1, 2))).tolist() for stack in stacks]
    places = [(index, k) for index, slices in enumerate(free) for k in slices]

    def batch_at(step: int, part: int = 0) -> Batch:
        rng = np.random.default_rng((config.seed, step, part))
        picks = [places[int(rng.integers(len(places)))] for _ in range(config.batch)]
        samples = [cropped_sample(stacks[i], pupil.spec, pupil.stage, Crop(k, None, config), rng) for i, k in picks]
        streams = tuple(torch.stack(each) for each in zip(*(sample.streams for sample in samples), strict=True))
        return streams, torch.stack([sample.labels for sample in samples]), [NOBODY] * config.batch

    return batch_at
