"""Voxel counts of two masks against each other, which add up over slices and cases, and the scores they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SCORES = ("dice", "jaccard", "sensitivity", "specificity", "precision", "f_score", "accuracy", "mae")
"""The scores of one table of counts, in the order they are told."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Counts of one binary confusion matrix; the sum of two is the pooled one.

    Every score is None where its denominator is 0: nothing was there to be right or wrong about.
    """

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    @property
    def is_present(self) -> bool:
        """Whether the reference holds any voxel: TP + FN > 0."""
        return self.true_positive + self.false_negative > 0

    @property
    def voxels(self) -> int:
        """TP + FP + FN + TN."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def dice(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None where both masks are empty, which is neither right nor wrong."""
        return _share(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def jaccard(self) -> float | None:
        """TP / (TP + FP + FN), intersection over union; Dice / (2 - Dice)."""
        return _share(self.true_positive, self.true_positive + self.false_positive + self.false_negative)

    @property
    def sensitivity(self) -> float | None:
        """TP / (TP + FN), recall; None where the reference is empty."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float | None:
        """TN / (TN + FP), over the whole field of view; air around the patient makes it look good."""
        return _share(self.true_negative, self.true_negative + self.false_positive)

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP); None where nothing was marked."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def f_score(self) -> float | None:
        """2 P R / (P + R) of precision P and sensitivity R, which for one table of counts **is** Dice.

        Written with the counts, so that it is 0, as Dice is, where nothing was marked and P is not defined. A paper
        whose F-score differs from its Dice averaged the two over different things.
        """
        return self.dice

    @property
    def accuracy(self) -> float | None:
        """(TP + TN) / (TP + FP + FN + TN), over the whole field of view."""
        return _share(self.true_positive + self.true_negative, self.voxels)

    @property
    def mae(self) -> float | None:
        """(FP + FN) / (TP + FP + FN + TN): mean |p - y| of hard masks, 1 - accuracy; the papers' p is soft."""
        return _share(self.false_positive + self.false_negative, self.voxels)

    def scores(self) -> dict[str, float | None]:
        """Return all of `SCORES` by name."""
        return {name: getattr(self, name) for name in SCORES}


def overlap(mask: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> Overlap:
    """Return the counts of a mask against a reference of the same shape."""
    both = int(np.count_nonzero(mask & reference))
    marked, wanted = int(np.count_nonzero(mask)), int(np.count_nonzero(reference))
    return Overlap(both, marked - both, wanted - both, mask.size - marked - wanted + both)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
