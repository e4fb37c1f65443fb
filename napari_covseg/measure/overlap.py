"""Voxel counts of two masks against each other, which add up over slices and cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Overlap:
    """Counts of one binary confusion matrix; the sum of two is the pooled one."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def dice(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None where both masks are empty, which is neither right nor wrong."""
        total = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / total if total else None


def overlap(mask: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> Overlap:
    """Return the counts of a mask against a reference of the same shape."""
    both = int(np.count_nonzero(mask & reference))
    return Overlap(both, int(np.count_nonzero(mask)) - both, int(np.count_nonzero(reference)) - both)
