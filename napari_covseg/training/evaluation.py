"""What a network is worth on annotated cases, each compared with its reference on the scan's own grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari_covseg.inference import Ensemble, Segmenter
from napari_covseg.io.case_doubts import Doubts
from napari_covseg.io.cases import Case, read_case
from napari_covseg.jobs import Job, Progress, retold
from napari_covseg.measure import (
    SCORED,
    Agreement,
    Mean,
    PairedDifference,
    agreements,
    case_mean,
    false_alarm,
    paired_difference,
    pooled,
    scorable,
    slice_mean,
)
from napari_covseg.networks import Checkpoint
from napari_covseg.volume import Volume

DECIMALS = 6
"""A specificity differs from 1 in the fifth."""

Note = Callable[[Case, Volume], object]
"""Hears of a case, with its scan, as it is read."""


@dataclass(frozen=True, slots=True)
class CaseScore:
    """One case: the agreement of every class that was annotated and that the network knows, by name.

    Parameters
    ----------
    case, patient
        Their names.
    classes
        By name.
    slices, seconds
        How many were segmented, and how long that alone took.
    """

    case: str
    patient: str
    classes: Mapping[str, Agreement]
    slices: int = 0
    seconds: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Return the scores per class, and how much was marked beside the reference, for JSON."""
        return {
            name: {**_rounded(found.scores()), "false_positive_ml": round(found.false_positive_ml, DECIMALS)}
            for name, found in self.classes.items()
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network's agreement with the references of some cases.

    Parameters
    ----------
    checkpoint
        What proposed.
    cases
        In the order they were given; a case on which nothing can be scored has no classes.
    device, seconds
        Where, and how long reading, segmenting and comparing took.
    """

    checkpoint: Checkpoint
    cases: tuple[CaseScore, ...]
    device: str
    seconds: float

    @property
    def seconds_per_slice(self) -> float | None:
        """How long the network takes for a slice, None where it was asked about none."""
        slices = sum(one.slices for one in self.cases)
        return sum(one.seconds for one in self.cases) / slices if slices else None

    @property
    def names(self) -> tuple[str, ...]:
        """The classes scored on any case, in the order they are told."""
        return tuple(name for name in SCORED if any(name in one.classes for one in self.cases))

    def of(self, name: str) -> tuple[Agreement, ...]:
        """Return the agreements of one class, over the cases where it was scored."""
        return tuple(one.classes[name] for one in self.cases if name in one.classes)

    def pooled(self) -> dict[str, Any]:
        """Return per class the scores of one count over all voxels of all cases annotated for it, for JSON."""
        return {name: {**_rounded(pooled(self.of(name)).scores()), "cases": len(self.of(name))} for name in self.names}

    def case_mean(self) -> dict[str, Any]:
        """Return per class the mean over cases whose reference contains it; of the others, mean false-positive mL."""
        return {name: self._case_mean(name) for name in self.names}

    def slice_mean(self) -> dict[str, Any]:
        """Return per class the mean over slices whose reference contains it, as the papers do, for JSON."""
        return {name: _mean(slice_mean(self.of(name)), "slices") for name in self.names}

    def _case_mean(self, name: str) -> dict[str, Any]:
        alarm = false_alarm(self.of(name))
        marked = {"cases_without": alarm.count, **_rounded({"false_positive_ml": alarm.mean_ml})}
        return {**_mean(case_mean(self.of(name)), "cases"), **marked}


def evaluated(
    segmenter: Segmenter | Ensemble,
    cases: Sequence[Case],
    note: Note = lambda *_: None,
    doubts: Doubts | None = None,
) -> Job[Evaluation]:
    """Let a network segment annotated cases and compare; yields progress and doubts, returns the evaluation.

    Only the slices of a case that count are segmented, and no case on which nothing could be scored; each that is read
    is noted. Of cases of which ``doubts`` were told before they are not told again.

    Raises
    ------
    ValueError
        If a case cannot be read, or names slices that it does not have.
    """
    started = time.monotonic()
    scores, doubts = [], doubts or Doubts()
    for done, case in enumerate(cases):
        yield Progress(done, len(cases), case.name)
        tell = partial(_as_one_case, case.name, done, len(cases))
        scores.append((yield from retold(_compared(segmenter, case, note, doubts), tell)))
    yield from doubts.about_the_others()
    yield Progress(len(cases), len(cases))
    seconds = round(time.monotonic() - started, 2)
    return Evaluation(segmenter.checkpoint, tuple(scores), segmenter.device.type, seconds)


def differences(first: Evaluation, second: Evaluation) -> dict[str, PairedDifference]:
    """Return the paired difference in Dice, first - second, by class, over the cases that both scored and contain it.

    Intervals are drawn by patient; a class without such a case is absent.

    Raises
    ------
    ValueError
        If the two are not of the same cases.
    """
    if [one.case for one in first.cases] != [one.case for one in second.cases]:
        raise ValueError("Two networks can be compared on the same cases only.")
    found = {}
    for name in first.names:
        both = [
            (one.patient, ours.overlap.dice or 0.0, theirs.overlap.dice or 0.0)
            for one, other in zip(first.cases, second.cases, strict=True)
            if (ours := one.classes.get(name)) and (theirs := other.classes.get(name)) and ours.is_present
        ]
        difference = paired_difference(
            [a for _, a, _ in both], [b for *_, b in both], [patient for patient, *_ in both]
        )
        if difference is not None:
            found[name] = difference
    return found


def _compared(segmenter: Segmenter | Ensemble, case: Case, note: Note, doubts: Doubts) -> Job[CaseScore]:
    known = segmenter.checkpoint.card.scheme
    if case.slices == () or (case.lung is None and not scorable(known, case.annotated)):
        return CaseScore(case.name, case.patient, {})
    scan, reference, lung = read_case(case)
    yield from doubts.about(case, scan, reference, lung)
    note(case, scan)
    asked = case.indices(scan.geometry.shape[0])
    started = time.monotonic()
    proposal = yield from segmenter.segment(scan, asked)
    seconds = time.monotonic() - started
    classes = agreements(
        proposal.labels,
        reference,
        known=known,
        annotated=case.annotated,
        lung=proposal.lung,
        reference_lung=lung,
        slices=None if case.slices is None else asked,  # surfaces of a whole scan are measured in 3-D
    )
    return CaseScore(case.name, case.patient, classes, len(asked), seconds)


def _as_one_case(name: str, done: int, total: int, step: Progress) -> Progress:
    return Progress(done, total, f"{name}, {step.doing}")


def _mean(mean: Mean, counted: str) -> dict[str, Any]:
    missing = {"not_defined": dict(mean.not_defined)} if mean.not_defined else {}
    return {**_rounded(mean.scores), counted: mean.count, **missing}


def _rounded(scores: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, DECIMALS) for name, value in scores.items()}
