"""Window presets: which Hounsfield units are black and which are white."""

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


def preset_of(limits_hu: tuple[float, float]) -> WindowPreset | None:
    """Return the preset that shows these limits, or None where the reader chose others."""
    for preset in PRESETS:
        if all(abs(a - b) < 1 for a, b in zip(preset.limits_hu, limits_hu, strict=True)):
            return preset
    return None


def after(preset: WindowPreset | None) -> WindowPreset:
    """Return the next preset in turn; the first after windows that are none."""
    if preset is None:
        return PRESETS[0]
    return PRESETS[(PRESETS.index(preset) + 1) % len(PRESETS)]
