"""What one fold of the cross-validation came to: kept as JSON beside the scripts, since it outlives the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from napari_covseg.io.files import written
from napari_covseg.training.evaluation import CaseScore, Evaluation

JUDGED_ON = {"consolidation": ("lesion_1", "lesion_2")}
"""The only cases a class is judged on, where they are measured: the other volumes have next to no consolidation."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fold: what its parent is worth, and the size of its files."""

    evaluation: Evaluation
    file_mb: float

    @property
    def judged(self) -> Evaluation:
        """The evaluation without the classes that its cases do not judge."""
        kept = [
            replace(one, classes={name: found for name, found in one.classes.items() if _judges(one.case, name)})
            for one in self.evaluation.cases
        ]
        return replace(self.evaluation, cases=tuple(kept))

    @property
    def largest(self) -> CaseScore:
        """The case of the most voxels that were compared."""
        return max(self.evaluation.cases, key=voxels_of)

    @property
    def steps(self) -> int | None:
        """How many steps of every stage its parent learned; None of several together."""
        return self.evaluation.checkpoint.card.config.get("steps")


OUTCOMES = TypeAdapter(Outcome)


def keep(outcome: Outcome, path: Path) -> None:
    """Write an outcome; of the parent's file it tells the name and no folder, since it is passed on."""
    parent = outcome.evaluation.checkpoint
    named = replace(parent, path=Path(parent.path.name))
    told = replace(outcome, evaluation=replace(outcome.evaluation, checkpoint=named))
    with written(path) as draft:
        draft.write_bytes(OUTCOMES.dump_json(told) + b"\n")


def kept(path: Path) -> Outcome:
    """Return an outcome that was kept.

    Raises
    ------
    ValueError
        If the file is no outcome.
    """
    return OUTCOMES.validate_json(path.read_bytes())


def voxels_of(one: CaseScore) -> int:
    """Return how many voxels of a case were compared."""
    counts = [found.overlap for found in one.classes.values()]
    return max((n.true_positive + n.false_positive + n.false_negative + n.true_negative for n in counts), default=0)


def _judges(case: str, name: str) -> bool:
    return case in JUDGED_ON.get(name, (case,))
