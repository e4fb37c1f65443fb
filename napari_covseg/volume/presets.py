"""Windows that radiologists know by name: which Hounsfield units are black and which are white."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowPreset:
    """A window as radiologists say it: level and width in Hounsfield units."""

    title: str
    level_hu: float
    width_hu: float

    @property
    def limits_hu(self) -> tuple[float, float]:
        """The Hounsfield units that are black and white."""
        return self.level_hu - self.width_hu / 2, self.level_hu + self.width_hu / 2


LUNG = WindowPreset("Lung", -600, 1500)
PRESETS = (LUNG, WindowPreset("Mediastinum", 40, 400), WindowPreset("Bone", 400, 1800))
