"""Ranges of Hounsfield units per class, and the lightly smoothed scan they are looked up in."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_covseg.review.correction import Box
from napari_covseg.volume import Volume

SMOOTHING_MM = 0.8
"""Standard deviation of the Gaussian within a slice: it takes off noise, and leaves a vessel of 2 mm what it is."""

TRUNCATE = 3.0


@dataclass(frozen=True, slots=True)
class HuRange:
    """From `low` to `high` Hounsfield units, both included.

    Raises
    ------
    ValueError
        If low is above high.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"A range goes up: {self.low:g} HU is above {self.high:g} HU.")

    def holds(self, hu: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return where Hounsfield units lie in the range."""
        found: npt.NDArray[np.bool_] = (hu >= self.low) & (hu <= self.high)
        return found

    def __str__(self) -> str:
        return f"{self.low:g}…{self.high:g} HU".replace("-", "−")


PRESETS = MappingProxyType(
    {
        "ggo": HuRange(-850, -200),
        "consolidation": HuRange(-300, 150),
        "effusion": HuRange(-20, 50),
        "infection": HuRange(-850, 150),
    }
)
"""Where each class lies, by its name."""

BETWEEN_CLASSES_HU = -250.0
"""Halfway through what ground glass and consolidation have in common: denser is consolidation."""


def smoothed_hu(scan: Volume, box: Box) -> npt.NDArray[np.float32]:
    """Return the scan in a box, lightly smoothed within each slice; a voxel's value does not depend on the box."""
    _, row_mm, column_mm = scan.geometry.spacing_mm
    sigmas = (SMOOTHING_MM / row_mm, SMOOTHING_MM / column_mm)
    margins = [ceil(TRUNCATE * sigma) + 1 for sigma in sigmas]
    wide = [
        slice(max(0, span.start - margin), min(size, span.stop + margin))
        for span, margin, size in zip(box[1:], margins, scan.hu.shape[1:], strict=True)
    ]
    around = scan.hu[(box[0], *wide)]
    found: npt.NDArray[np.float32] = ndimage.gaussian_filter(
        around, sigmas, axes=(1, 2), output=np.float32, truncate=TRUNCATE, mode="nearest"
    )
    rows, columns = (slice(b.start - w.start, b.stop - w.start) for b, w in zip(box[1:], wide, strict=True))
    return found[:, rows, columns]
