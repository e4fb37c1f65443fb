"""Whether one network is better than another on the same cases, or only luckier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of first - second over cases, and its 95 % interval; None for the interval of a single patient.

    Where the interval holds 0, these cases do not tell the two apart.
    """

    mean: float
    low: float | None
    high: float | None
    cases: int
    patients: int


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    patients: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PairedDifference | None:
    """Return the mean difference of two lists of scores on the same cases, with a bootstrap interval.

    Patients are drawn with replacement, each with all of its cases, since cases of one patient resemble each other;
    the interval is the 2.5th to 97.5th percentile of the drawn means.

    Parameters
    ----------
    first, second
        One score per case, in the same order.
    patients
        Whose each case is; without, every case is a patient of its own.
    seed
        The same seed gives the same interval.
    resamples
        How often to draw.

    Returns
    -------
    PairedDifference or None
        None without a case.

    Raises
    ------
    ValueError
        If the lists differ in length.
    """
    owners = range(len(first)) if patients is None else patients
    if not len(first) == len(second) == len(owners):
        raise ValueError(f"Pairs need lists of one length, not {len(first)}, {len(second)} and {len(owners)}.")
    if len(first) == 0:
        return None
    differences = np.subtract(first, second, dtype=np.float64)
    _, owner = np.unique(np.asarray(owners), return_inverse=True)
    sums, sizes = np.bincount(owner, differences), np.bincount(owner)
    mean, count = float(differences.mean()), len(sizes)
    if count == 1:
        return PairedDifference(mean, None, None, len(first), count)
    drawn = np.random.default_rng(seed).integers(count, size=(resamples, count))
    low, high = np.percentile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), INTERVAL)
    return PairedDifference(mean, float(low), float(high), len(first), count)
