"""A reader who is the reference: corrects the slices a queue proposes, and what a network makes of that."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from napari_covseg.inference import Segmenter
from napari_covseg.io.cases import Case
from napari_covseg.jobs import Progress, drain
from napari_covseg.measure import agreements, pooled
from napari_covseg.networks import Checkpoint, load
from napari_covseg.review import queue
from napari_covseg.review.queue import first_queue
from napari_covseg.training import (
    comparison,
    finetune,
    finetune_request,
    gate,
    keeping,
    lesson,
    losses,
    neighbourhoods,
    rehearsal,
)
from napari_covseg.training.comparison import found_on
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.evenly import evenly
from napari_covseg.training.finetune import finetuned
from napari_covseg.training.finetune_request import FineTuning, short_run
from napari_covseg.training.keeping import Keeping
from napari_covseg.training.lesson import Lesson, lesson_of_case

ASKED_OF_OTHERS = 24
"""Slices on which forgetting is measured, of all other cases together that are annotated for the same classes; for a
3-D network one run of them per case."""

NAIVE = Keeping(replay=False, distil=0.0, freeze_batch_norm=False, way=1.0)
"""What one does who does not know better; with every slice of the scan taken for truth."""


@dataclass(frozen=True, slots=True)
class Study:
    """A new patient's scan, the parent that never saw it, the cases it saw, and how long a fine-tuning may be."""

    case: Case
    parent: Checkpoint
    others: tuple[Case, ...]
    replay: tuple[Case, ...]
    steps: int
    seed: int
    folder: Path

    @property
    def config(self) -> TrainingConfig:
        """Return the settings of a fine-tuning's loop."""
        return short_run(load(self.parent.card.network), self.steps, self.seed)


NO_FIGURE = frozenset({"FILES_OF_A_CHILD", "MORE_ML", "MORE_SHARE"})
"""Constants by which no figure changes: how much room a fine-tuning asks for, what a verdict tells beside its rule."""


def settings_of(network: str, steps: int, seed: int = 0) -> dict[str, Any]:
    """Return all settings of the queue, of the fine-tunings and of what is asked of their children, constants too.

    Of these the numbers: words are what is told, and no figure changes by them.
    """
    learning = (finetune, finetune_request, comparison, gate, keeping, lesson, losses, neighbourhoods, rehearsal)
    modules = (queue, *learning, sys.modules[__name__])
    constants = {
        f"{module.__name__}.{name}": repr(value)
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int | float | tuple | Keeping) and name not in NO_FIGURE
    }
    return {**asdict(short_run(load(network), steps, seed)), **constants}


@dataclass(eq=False)
class Reader:
    """The simulated reader of one scan; what the parent says is computed once."""

    study: Study
    device: str = "cpu"
    labels: np.ndarray = field(init=False)
    uncertainty: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.truth = lesson_of_case(self.study.case)
        self.network = Segmenter(self.study.parent, self.device)
        depth = self.truth.scan.geometry.shape[0]
        self.labels = np.zeros(self.truth.scan.geometry.shape, np.uint8)
        self.uncertainty = np.zeros(depth)
        for step in self.network.proposals(self.truth.scan, range(depth)):
            if not isinstance(step, Progress):
                index, proposal = step
                self.labels[index] = proposal.labels
                self.uncertainty[index] = proposal.prediction.uncertain_voxels()

    def queued(self, count: int) -> tuple[int, ...]:
        """Return the slices our queue proposes."""
        return first_queue(self.uncertainty, self.truth.scan.geometry.spacing_mm[0], count)

    def drawn(self, count: int) -> tuple[int, ...]:
        """Return as many slices at random."""
        depth = len(self.uncertainty)
        return tuple(np.random.default_rng(self.study.seed).choice(depth, count, replace=False).tolist())

    def taught(self, name: str, slices: Sequence[int], keeping: Keeping, *, all_as_truth: bool = False) -> Checkpoint:
        """Correct some slices and fine-tune; ``all_as_truth`` takes what was not corrected for truth as well."""
        values = self.labels.copy()
        values[list(slices)] = self.truth.labels.values[list(slices)]
        labels = self.truth.labels.with_voxels(values, self.truth.labels.geometry)
        reviewed = range(len(values)) if all_as_truth else sorted(slices)
        lesson = Lesson(self.truth.scan, labels, tuple(reviewed), self.truth.scan_sha256, self.truth.annotated)
        out = self.study.folder / f"{self.study.parent.name}_{self.study.case.name}_{name}.safetensors"
        out.unlink(missing_ok=True)
        replay = self.study.replay if keeping.replay else ()
        asked = FineTuning(self.study.parent, (lesson,), out, self.study.config, keeping, replay, device=self.device)
        return drain(finetuned(asked))

    def untouched(self, *queues: Sequence[int]) -> tuple[int, ...]:
        """Return the slices that none of some queues touched."""
        touched = {index for queue in queues for index in queue}
        return tuple(index for index in range(len(self.uncertainty)) if index not in touched)

    def again(self, child: Checkpoint, slices: Sequence[int]) -> np.ndarray:
        """Return the rest of the scan as a child segments it, the other slices as the parent did."""
        values = self.labels.copy()
        found = drain(Segmenter(child, self.device).segment(self.truth.scan, slices)).labels.values
        values[list(slices)] = found[list(slices)]
        return values

    def figures(self, values: np.ndarray, slices: Sequence[int]) -> dict[str, Any]:
        """Return the Dice of every class on some slices, and how many voxels the reader would have to change."""
        reference = self.truth.labels
        found = agreements(
            reference.with_voxels(values, reference.geometry),
            reference,
            known=self.study.parent.card.scheme,
            annotated=self.truth.annotated,
            slices=slices,
        )
        wrong = int((values[list(slices)] != reference.values[list(slices)]).sum())
        return {"voxels_to_change": wrong, "dice": {name: pooled([one]).dice for name, one in found.items()}}

    def on_others(self, trained: Checkpoint) -> dict[str, float]:
        """Return the pooled Dice of every class on a few slices of the other cases."""
        found = drain(found_on(Segmenter(trained, self.device), self._others, "others"))
        dice = {name: pooled(parts).dice for name, parts in found.items()}
        return {name: value for name, value in dice.items() if value is not None}

    @cached_property
    def _others(self) -> list[Lesson]:
        alike = Counter(case.annotated for case in self.study.others)
        lessons = []
        for case in self.study.others:
            share = max(1, ASKED_OF_OTHERS // alike[case.annotated])
            lesson = lesson_of_case(case)
            bearing = [k for k in lesson.reviewed if lesson.labels.values[k].any()] or list(lesson.reviewed)
            middle = max(0, (len(bearing) - share) // 2)
            run = bearing[middle : middle + share]
            chosen = run if self.network.spec.grain == "patch" else evenly(bearing, share)
            lessons.append(replace(lesson, reviewed=tuple(chosen)))
        return lessons
