"""One figure from many cases, three ways that do not agree with each other: say which.

`pooled` counts voxels, so large lesions and large scans rule it. `case_mean` counts cases. `slice_mean` counts slices,
as the papers do. Distances are no counts: HD95 has a mean of cases only. A score that is not defined on a case or slice
is left out of its mean, and how often is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from napari_covseg.measure.agreement import Agreement
from napari_covseg.measure.overlap import SCORES, Overlap


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean scores.

    Parameters
    ----------
    count
        Over how many cases or slices.
    scores
        By name; None where a score is defined on none of them.
    not_defined
        By name, on how many of them a score is not defined; they are left out of its mean. Names with none are absent.
    """

    count: int
    scores: Mapping[str, float | None]
    not_defined: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """What was marked on cases that do not contain a class: how many cases, mean mL (None without such a case)."""

    count: int
    mean_ml: float | None


def pooled(agreements: Sequence[Agreement]) -> Overlap:
    """Return one table of counts over all voxels of all cases annotated for a class."""
    return sum((one.overlap for one in agreements), Overlap())


def case_mean(agreements: Sequence[Agreement]) -> Mean:
    """Return the mean over the cases whose reference contains the class, HD95 included."""
    return _mean([one.scores() for one in agreements if one.is_present], (*SCORES, "hd95_mm"))


def false_alarm(agreements: Sequence[Agreement]) -> FalseAlarm:
    """Return what was marked on the cases whose reference does not contain the class."""
    marked_ml = [one.false_positive_ml for one in agreements if not one.is_present]
    return FalseAlarm(len(marked_ml), fmean(marked_ml) if marked_ml else None)


def slice_mean(agreements: Sequence[Agreement]) -> Mean:
    """Return the mean over the slices whose reference contains the class, each slice one table, whatever its case.

    This is how the papers average. Slices without the class do not count, so false alarms on them are not seen.
    """
    slices = [counts for one in agreements for counts in one.per_slice if counts.is_present]
    return _mean([counts.scores() for counts in slices], SCORES)


def _mean(rows: Sequence[Mapping[str, float | None]], names: Sequence[str]) -> Mean:
    columns = {name: [value for row in rows if (value := row[name]) is not None] for name in names}
    return Mean(
        len(rows),
        {name: fmean(values) if values else None for name, values in columns.items()},
        {name: len(rows) - len(values) for name, values in columns.items() if len(values) < len(rows)},
    )
