"""How a window is dragged and told: which Hounsfield units are black and which are white."""

from __future__ import annotations

from napari_covseg.volume.presets import PRESETS, WindowPreset

NARROWEST_HU = 10.0
LIMITS_HU = (-2400.0, 4000.0)
"""What a window may reach; a good deal further on either side there is neither tissue nor air."""

PIXELS_TO_DOUBLE = 150.0
"""A drag this far to the right doubles the width."""


def level_and_width(limits_hu: tuple[float, float]) -> tuple[float, float]:
    """Return the level and the width of a window, from the Hounsfield units that are black and white."""
    low, high = limits_hu
    return (low + high) / 2, high - low


def dragged(limits_hu: tuple[float, float], right_px: float, up_px: float) -> tuple[float, float]:
    """Return a window after a drag: to the right it is wider, upward brighter; a narrow one moves in small steps."""
    level_hu, width_hu = level_and_width(limits_hu)
    widest = LIMITS_HU[1] - LIMITS_HU[0]
    wide = min(max(width_hu * 2 ** (right_px / PIXELS_TO_DOUBLE), NARROWEST_HU), widest)
    level = level_hu - up_px * width_hu / (2 * PIXELS_TO_DOUBLE)
    low = min(max(level - wide / 2, LIMITS_HU[0]), LIMITS_HU[1] - wide)
    return low, low + wide


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
