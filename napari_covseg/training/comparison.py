"""A network before and after it learned, class by class, on the same slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import pi, sqrt
from statistics import fmean

import numpy as np

from napari_covseg.inference import Segmenter
from napari_covseg.jobs import Job, Progress, retold
from napari_covseg.measure import Agreement, agreements, pooled
from napari_covseg.training.lesson import Lesson

FALSE_ML, FALSE_SHARE = 1.0, 0.5
"""Where a class is not, so many mL more than before, or such a share of what was marked there before if that is more,
may be marked."""

INTERVAL = (2.5, 97.5)
FEWEST_FOR_INTERVAL = 3
"""Slices that show a class, at least: of fewer nothing is known about how much slices differ."""

OUTLINES = 2.0
"""A fall of a class by more than so many times its `Row.outline`, a voxel all along, is a loss however small it is."""

RESAMPLES = 1000
DECIMALS = 4
EPSILON = 1e-9

Found = Mapping[str, Sequence[Agreement]]
"""Agreements of every class, one per lesson, by name."""


@dataclass(frozen=True, slots=True)
class Row:
    """One class, before and after.

    Parameters
    ----------
    dice_before, dice_after
        Pooled over all voxels of the slices; None where the reference has none of it: whatever is marked there, Dice is
        0 or not defined, and the millilitres tell it.
    hd95_mm_before, hd95_mm_after
        On the slices that judge, to the nearest outline on any of these; mean over the lessons where it is defined.
    ml_error_before, ml_error_after
        How many mL were marked too much or too little, summed over the lessons.
    gain_low, gain_high
        2.5th and 97.5th percentile of the gain in Dice when slices are drawn again; None of fewer than three.
    voxels
        Of the class in the reference, on all slices.
    """

    name: str
    dice_before: float | None
    dice_after: float | None
    hd95_mm_before: float | None
    hd95_mm_after: float | None
    ml_error_before: float
    ml_error_after: float
    gain_low: float | None
    gain_high: float | None
    voxels: int

    @property
    def gain(self) -> float:
        """Dice after - before; 0 where either is not defined."""
        if self.dice_before is None or self.dice_after is None:
            return 0.0
        return self.dice_after - self.dice_before

    @property
    def present(self) -> bool:
        """Whether the reference holds the class."""
        return self.voxels > 0

    @property
    def is_invented(self) -> bool:
        """Whether more of a class is marked than before, and than is allowed, where there is none of it."""
        allowed_ml = max(FALSE_ML, FALSE_SHARE * self.ml_error_before)
        return not self.present and self.ml_error_after - self.ml_error_before > allowed_ml + EPSILON

    @property
    def outline(self) -> float:
        """By so much Dice falls where the whole outline lies half a voxel beside the reference's.

        The outline of an opacity is taken to be twice as long as that of a disc of its size (2.1 times for
        consolidation, 2.9 for ground glass, medians of the slices of two annotated scans).
        """
        share = sqrt(pi / max(1, self.voxels))
        return share / (1 + share)

    def fell(self, allowed: float) -> bool:
        """Whether the class fell by more than is allowed, and not merely by what so few voxels leave open.

        It did where nothing of it is found any more, its whole interval lies below zero, or the fall is more than
        `OUTLINES` times its `outline`.
        """
        is_lost = self.dice_after == 0
        is_clear = is_lost or self.surely_fell() or -self.gain > OUTLINES * self.outline + EPSILON
        return -self.gain > allowed + EPSILON and is_clear

    def surely_fell(self, by: float = 0.0) -> bool:
        """Whether its whole interval lies below a fall by so much; unknown without one."""
        return self.gain_high is not None and self.gain_high < -by


def found_on(network: Segmenter, lessons: Sequence[Lesson], doing: str) -> Job[dict[str, list[Agreement]]]:
    """Segment the reviewed slices of some lessons and return how far they agree, by class; yields progress."""
    known = network.checkpoint.card.scheme
    found: dict[str, list[Agreement]] = {}
    done, total = 0, sum(len(lesson.reviewed) for lesson in lessons)
    for lesson in lessons:
        job = network.segment(lesson.scan, lesson.reviewed)
        proposal = yield from retold(job, partial(_as_part, done, total, doing))
        scored = agreements(
            proposal.labels, lesson.labels, known=known, annotated=lesson.annotated, slices=lesson.reviewed
        )
        for name, agreement in scored.items():
            found.setdefault(name, []).append(agreement)
        done += len(lesson.reviewed)
    return found


def table(before: Found, after: Found) -> tuple[Row, ...]:
    """Return one row per class that both were asked about."""
    return tuple(_row(name, before[name], after[name]) for name in before if name in after)


def _row(name: str, before: Sequence[Agreement], after: Sequence[Agreement]) -> Row:
    low, high = _interval(before, after)
    voxels = sum(one.overlap.true_positive + one.overlap.false_negative for one in before)
    return Row(
        name=name,
        dice_before=_rounded(pooled(before).dice) if voxels else None,
        dice_after=_rounded(pooled(after).dice) if voxels else None,
        hd95_mm_before=_distance(before),
        hd95_mm_after=_distance(after),
        ml_error_before=_error_ml(before),
        ml_error_after=_error_ml(after),
        gain_low=low,
        gain_high=high,
        voxels=voxels,
    )


def _interval(before: Sequence[Agreement], after: Sequence[Agreement]) -> tuple[float | None, float | None]:
    """Return the interval of the gain in pooled Dice, slices drawn with replacement; seeded."""
    counts = np.array(
        [
            [(2 * c.true_positive, 2 * c.true_positive + c.false_positive + c.false_negative) for c in (old, new)]
            for one, other in zip(before, after, strict=True)
            for old, new in zip(one.per_slice, other.per_slice, strict=True)
        ],
        dtype=np.float64,
    )
    showing = sum(counted.is_present for one in before for counted in one.per_slice)
    if showing < FEWEST_FOR_INTERVAL:
        return None, None
    drawn = counts[np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        dice = drawn[..., 0] / drawn[..., 1]
    gains = (dice[:, 1] - dice[:, 0])[np.isfinite(dice).all(axis=1)]
    if not gains.size:
        return None, None
    low, high = np.percentile(gains, INTERVAL)
    return round(float(low), DECIMALS), round(float(high), DECIMALS)


def _error_ml(each: Sequence[Agreement]) -> float:
    surplus_ml = [(one.overlap.false_positive - one.overlap.false_negative) * one.voxel_ml for one in each]
    return round(sum(abs(ml) for ml in surplus_ml), 3)


def _distance(each: Sequence[Agreement]) -> float | None:
    known = [one.hd95_mm for one in each if one.hd95_mm is not None]
    return round(fmean(known), 2) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _as_part(done: int, total: int, doing: str, step: Progress) -> Progress:
    return Progress(min(done + step.done, total), total, doing, aside=True)
