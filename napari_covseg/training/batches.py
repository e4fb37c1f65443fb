"""Which slices a network sees, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from napari_covseg.training.augment import augmentation, augmented
from napari_covseg.training.loop import Batch, BatchSource, TrainingConfig
from napari_covseg.training.samples import Sample
from napari_covseg.volume import LESIONS

LESION_SHARE = 0.75
"""Share of the slices drawn that bear a lesion, where there are any."""


def batch_source(samples: Sequence[Sample], config: TrainingConfig) -> BatchSource:
    """Return the function from step to augmented batch, which depends on the seed and the step alone.

    Kinds of annotation are drawn in proportion to the lesion classes they teach, then patients evenly, then slices,
    lesion-bearing ones more often.
    """
    shelves = _shelves(samples)
    kinds = list(shelves)
    weights = np.array([max(1, len(kind & set(LESIONS.names))) for kind in kinds], dtype=float)

    def batch_at(step: int) -> Batch:
        rng = np.random.default_rng((config.seed, step))
        transform = augmentation(config.crop, int(rng.integers(2**31)))
        picks = rng.choice(len(kinds), size=config.batch, p=weights / weights.sum())
        drawn = [_draw(shelves[kinds[pick]], rng) for pick in picks]
        pairs = [augmented(transform, sample.streams, sample.labels) for sample in drawn]
        images = torch.stack([image for image, _ in pairs])
        labels = torch.stack([label for _, label in pairs])
        return tuple(images.split(1, dim=1)), labels, [sample.annotated for sample in drawn]

    return batch_at


Shelf = tuple[list[Sample], list[Sample]]


def _shelves(samples: Sequence[Sample]) -> dict[frozenset[str], list[Shelf]]:
    """Sort samples by annotation, then by patient, into those with a lesion and those without."""
    by_patient: dict[tuple[frozenset[str], str], Shelf] = {}
    for sample in samples:
        shelf = by_patient.setdefault((sample.annotated, sample.patient), ([], []))
        shelf[0 if sample.labels.any() else 1].append(sample)
    shelves: dict[frozenset[str], list[Shelf]] = defaultdict(list)
    for (annotated, _), shelf in by_patient.items():
        shelves[annotated].append(shelf)
    return dict(shelves)


def _draw(shelves: Sequence[Shelf], rng: np.random.Generator) -> Sample:
    with_lesion, without = shelves[int(rng.integers(len(shelves)))]
    wants_lesion = rng.random() < LESION_SHARE
    choice = with_lesion if with_lesion and (wants_lesion or not without) else without
    return choice[int(rng.integers(len(choice)))]
