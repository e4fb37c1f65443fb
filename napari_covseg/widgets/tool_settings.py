"""What the reader set the tools to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from napari_covseg.review import BETWEEN_CLASSES_HU, PRESETS, HuRange, Kernel
from napari_covseg.volume import LESIONS

NAMES = {each.value: each.name for each in LESIONS}


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """Ranges, sizes and switches.

    Parameters
    ----------
    by_hu
        Brush and eraser reach only the range of the chosen class.
    in_lungs
        The brush, and growing, stay in the lungs; effusion is never clipped.
    with_a_ball
        The brush paints in three dimensions.
    in_3d
        The other tools work on all slices, not only on the one on screen.
    ranges
        By the name of the class.
    grow_limit_mm, islands_below_mm3, smoothing_mm, smoothing, density_hu
        Sizes of single tools; density tells ground glass from consolidation.
    """

    by_hu: bool = False
    in_lungs: bool = False
    with_a_ball: bool = False
    in_3d: bool = True
    ranges: Mapping[str, HuRange] = field(default_factory=lambda: dict(PRESETS))
    grow_limit_mm: float = 30.0
    islands_below_mm3: float = 50.0
    smoothing_mm: float = 1.5
    smoothing: Kernel = "median"
    density_hu: float = BETWEEN_CLASSES_HU

    @property
    def bounds_the_brush(self) -> bool:
        """Whether napari's own brush would paint something else."""
        return self.by_hu or self.in_lungs or self.with_a_ball

    def range_of(self, value: int) -> HuRange:
        """Return the range of a class; of ground glass where the eraser is chosen as a class."""
        return self.ranges[NAMES.get(value, "ggo")]

    def with_range(self, value: int, hu_range: HuRange) -> ToolSettings:
        """Return the same settings with another range for a class."""
        return replace(self, ranges={**self.ranges, NAMES.get(value, "ggo"): hu_range})
