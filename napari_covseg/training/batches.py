"""Which slices a network sees, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
import numpy.typing as npt
import torch

from napari_covseg.networks import NetworkSpec
from napari_covseg.networks.spec import Names, Stage
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.crops import Crop, cropped_sample
from napari_covseg.training.losses import Teaching, teaching
from napari_covseg.training.source import Batch, BatchSource
from napari_covseg.training.stacks import IGNORED, Stack
from napari_covseg.volume import LESIONS

ONE_SIDED_SHARE = 1 / 8
"""Share of the samples that say where something is and never where it is not, at most, where others say both.

Effusion without a lung mask looks like the soft tissue around the lung. Where that is a quarter of a crop, a masked
sample says "outside" of it with a quarter of its weight, and a one-sided one says "inside" with all of its: from a
share of a fifth on, a network that cannot tell the two apart does best to take in both.
"""

Place = tuple[int, int]
"""A stack and a slice of it."""


def batch_source(
    stacks: Sequence[Stack], spec: NetworkSpec, stage: Stage, scheme: Names, config: TrainingConfig
) -> BatchSource:
    """Return the function from step and part to an augmented batch, which depends on seed, step and part alone.

    Kinds of annotation are drawn in proportion to the square root of how many classes they teach, then patients evenly,
    then, for the share of pieces cut at a lesion, a class evenly of those the patient has and a slice that bears it.
    One-sided kinds are at most `ONE_SIDED_SHARE` of what is drawn, from patients who bear what they teach.

    Raises
    ------
    ValueError
        If nothing in the stacks teaches this stage anything, or a lung stage would never hear what is no lung.
    """
    check_taught(stacks, spec, (stage,), scheme)
    kinds = _shelves(stacks, stage, scheme)
    annotations = list(kinds)
    shares = _shares([teaching(stage, scheme, kind) for kind in annotations], annotations)

    def batch_at(step: int, part: int = 0) -> Batch:
        rng = np.random.default_rng((config.seed, step, part))
        picks = rng.choice(len(annotations), size=config.batch, p=shares)
        samples = []
        for pick in picks:
            shelves = kinds[annotations[pick]]
            (index, middle), label = shelves[int(rng.integers(len(shelves)))].draw(rng, config.lesion_share)
            samples.append(cropped_sample(stacks[index], spec, stage, Crop(middle, label, config), rng))
        streams = tuple(torch.stack(parts) for parts in zip(*(sample.streams for sample in samples), strict=True))
        labels = torch.stack([sample.labels for sample in samples])
        return streams, labels, [annotations[pick] for pick in picks]

    return batch_at


def check_taught(stacks: Sequence[Stack], spec: NetworkSpec, stages: Sequence[Stage], scheme: Names) -> None:
    """Refuse to train stages that some stacks teach nothing.

    Raises
    ------
    ValueError
        If there are any; it names them all.
    """
    untaught = [stage for stage in stages if not teaches(stacks, stage, scheme)]
    if not untaught:
        return
    is_lung = [stage.target == "lung" for stage in untaught]
    reasons = ["no annotated slice has a lung mask"] * any(is_lung) + ["its classes are not annotated"] * (
        not all(is_lung)
    )
    *others, last = (stage.name for stage in untaught)
    parts = f"{', '.join(others)} and {last} parts" if others else f"{last} part"
    raise ValueError(f"Nothing here teaches the {parts} of {spec.title}: {' and '.join(reasons)}.")


def teaches(stacks: Sequence[Stack], stage: Stage, scheme: Names) -> bool:
    """Whether some stacks teach a stage anything; a lung stage, also what is no lung."""
    for stack in stacks:
        lesson = teaching(stage, scheme, stack.annotated)
        counts = lesson.says_something and not (stage.target == "lung" and lesson.is_one_sided)
        if counts and (stack.labels != IGNORED).any():
            return True
    return False


def _shares(lessons: Sequence[Teaching], annotations: Sequence[frozenset[str]]) -> npt.NDArray[np.float64]:
    """Return how often each kind of annotation is drawn."""
    weights = np.array([sqrt(max(1, len(kind & set(LESIONS.names)))) for kind in annotations])
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    one_sided = np.array([lesson.is_one_sided for lesson in lessons])
    drawn = shares[one_sided].sum()
    if not one_sided.all() and drawn > ONE_SIDED_SHARE:
        shares[one_sided] *= ONE_SIDED_SHARE / drawn
        shares[~one_sided] *= (1 - ONE_SIDED_SHARE) / (1 - drawn)
    return shares


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


def _shelves(stacks: Sequence[Stack], stage: Stage, scheme: Names) -> dict[frozenset[str], list[_Shelf]]:
    """Return what there is to draw by kind of annotation, of the kinds that say something to a stage.

    A one-sided kind is looked for where it says it; patients of whom it says nothing are left out where others remain.
    """
    lessons = {stack.annotated: teaching(stage, scheme, stack.annotated) for stack in stacks}
    by_patient: dict[tuple[frozenset[str], str], _Shelf] = defaultdict(_Shelf)
    for index, stack in enumerate(stacks):
        lesson = lessons[stack.annotated]
        if not lesson.says_something:
            continue
        shelf = by_patient[stack.annotated, stack.patient]
        for slice_index, plane in enumerate(stack.labels):
            present = set(np.unique(plane).tolist()) - {IGNORED}
            if present:
                shelf.every.append((index, slice_index))
            for label in present & {lesion.value for lesion in LESIONS}:
                if not lesson.is_one_sided or lesson.group_of[label] != IGNORED:
                    shelf.bearing[label].append((index, slice_index))
    shelves: dict[frozenset[str], list[_Shelf]] = defaultdict(list)
    telling: dict[frozenset[str], list[_Shelf]] = defaultdict(list)
    for (annotated, _), shelf in by_patient.items():
        if shelf.every:
            shelves[annotated].append(shelf)
            if shelf.bearing or not lessons[annotated].is_one_sided:
                telling[annotated].append(shelf)
    return dict(telling or shelves)
