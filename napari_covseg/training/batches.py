"""Which slices a network sees, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
import torch

from napari_covseg.networks import NetworkSpec
from napari_covseg.networks.spec import Names, Stage
from napari_covseg.training.crops import Crop, cropped_sample
from napari_covseg.training.loop import TrainingConfig
from napari_covseg.training.losses import teaching
from napari_covseg.training.source import Batch, BatchSource
from napari_covseg.training.stacks import IGNORED, Stack
from napari_covseg.volume import LESIONS

Place = tuple[int, int]
"""A stack and a slice of it."""


def batch_source(
    stacks: Sequence[Stack], spec: NetworkSpec, stage: Stage, scheme: Names, config: TrainingConfig
) -> BatchSource:
    """Return the function from step and part to an augmented batch, which depends on seed, step and part alone.

    Kinds of annotation are drawn in proportion to the square root of how many classes they teach, then patients evenly,
    then, for the share of pieces cut at a lesion, a class evenly of those the patient has and a slice that bears it.

    Raises
    ------
    ValueError
        If nothing in the stacks teaches this stage anything.
    """
    teachers = [stack for stack in stacks if teaching(stage, scheme, stack.annotated).says_something]
    kinds = _shelves(teachers)
    if not kinds:
        raise ValueError(f"Nothing here teaches the {stage.name} part of {spec.title}: its classes are not annotated.")
    annotations = list(kinds)
    weights = np.array([sqrt(max(1, len(kind & set(LESIONS.names)))) for kind in annotations])

    def batch_at(step: int, part: int = 0) -> Batch:
        rng = np.random.default_rng((config.seed, step, part))
        picks = rng.choice(len(annotations), size=config.batch, p=weights / weights.sum())
        samples = []
        for pick in picks:
            shelves = kinds[annotations[pick]]
            (index, middle), label = shelves[int(rng.integers(len(shelves)))].draw(rng, config.lesion_share)
            samples.append(cropped_sample(teachers[index], spec, stage, Crop(middle, label, config), rng))
        streams = tuple(torch.stack(parts) for parts in zip(*(sample.streams for sample in samples), strict=True))
        labels = torch.stack([sample.labels for sample in samples])
        return streams, labels, [annotations[pick] for pick in picks]

    return batch_at


@dataclass(slots=True)
class _Shelf:
    """The slices of one patient, and by label those that bear it."""

    every: list[Place] = field(default_factory=list)
    bearing: dict[int, list[Place]] = field(default_factory=lambda: defaultdict(list))

    def draw(self, rng: np.random.Generator, lesion_share: float) -> tuple[Place, int | None]:
        label = None
        if self.bearing and rng.random() < lesion_share:
            label = sorted(self.bearing)[int(rng.integers(len(self.bearing)))]
        places = self.every if label is None else self.bearing[label]
        return places[int(rng.integers(len(places)))], label


def _shelves(stacks: Sequence[Stack]) -> dict[frozenset[str], list[_Shelf]]:
    by_patient: dict[tuple[frozenset[str], str], _Shelf] = defaultdict(_Shelf)
    for index, stack in enumerate(stacks):
        shelf = by_patient[stack.annotated, stack.patient]
        for slice_index, plane in enumerate(stack.labels):
            present = set(np.unique(plane).tolist()) - {IGNORED}
            if present:
                shelf.every.append((index, slice_index))
            for label in present & {lesion.value for lesion in LESIONS}:
                shelf.bearing[label].append((index, slice_index))
    shelves: dict[frozenset[str], list[_Shelf]] = defaultdict(list)
    for (annotated, _), shelf in by_patient.items():
        if shelf.every:
            shelves[annotated].append(shelf)
    return dict(shelves)
