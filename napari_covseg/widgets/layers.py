"""The three layers a scan on the bench is shown with, and how they are found again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.components import LayerList
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap

from napari_covseg.volume import LESIONS, ClassScheme
from napari_covseg.volume.presets import LUNG
from napari_covseg.widgets.layer_list import rest_thumbnail
from napari_covseg.widgets.outlines import outline
from napari_covseg.widgets.windows import LIMITS_HU
from napari_covseg.workbench import OpenScan

AXIS_LABELS = ("slice", "row", "column")
BRUSH_MM = 10.0
FILL_OPACITY = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class ReadingLayers:
    """The scan, its lesions filled lightly (this one is painted on), and their outlines over the same array."""

    scan: Image
    lesions: Labels
    outlines: Labels

    def __iter__(self) -> Any:
        return iter((self.scan, self.lesions, self.outlines))


def layers_of(opened: OpenScan) -> ReadingLayers:
    """Return layers for a scan; the labels are a copy that napari may write on."""
    values = np.array(opened.session.labels.values, order="C")
    where = placed(opened)
    scan = Image(opened.scan.hu, name=opened.scan.name, colormap="gray", contrast_limits=LUNG.limits_hu, **where)
    scan.contrast_limits_range = LIMITS_HU
    scan.contrast_limits = LUNG.limits_hu
    lesions = Labels(values, name="lesions", opacity=FILL_OPACITY, colormap=colours(LESIONS), **where)
    lesions.selected_label = 1
    lesions.brush_size = brush_size(lesions, BRUSH_MM)
    outlines = Labels(values, name="outlines", opacity=1.0, colormap=colours(LESIONS), **where)
    outline(outlines, 1)
    outlines.editable = False
    for layer in (scan, lesions, outlines):
        rest_thumbnail(layer)
    return ReadingLayers(scan, lesions, outlines)


def placed(opened: OpenScan) -> dict[str, Any]:
    """Return what puts a layer in the scan's place: scale, units, axes, and the grids in its metadata."""
    return {
        "scale": opened.scan.geometry.spacing_mm,
        "units": ("mm", "mm", "mm"),
        "axis_labels": AXIS_LABELS,
        "metadata": {"covseg": {"geometry": opened.session.geometry, "home": opened.session.home_geometry}},
    }


def colours(scheme: ClassScheme) -> DirectLabelColormap:
    """Return the colours of a scheme's classes; anything else is shown in white, so that it is noticed."""
    none: dict[int | None, str] = {None: "white", 0: "transparent"}
    return DirectLabelColormap(color_dict=none | {each.value: each.colour for each in scheme})


def slipped_in(layer: Layer, layers: LayerList, below: Layer | None = None) -> None:
    """Put a layer among others, on top or below one of them, and leave the reader's choice of layer as it was."""
    chosen, active = set(layers.selection), layers.selection.active
    layers.insert(layers.index(below) if below in layers else len(layers), layer)
    layers.selection = chosen
    layers.selection.active = active


def same_look(first: Layer, second: Layer, names: Sequence[str]) -> None:
    """Let two layers have the same mode, colours and the like from now on, whichever of them is changed."""
    for name in names:
        _copy(first, second, name)
        for source, target in ((first, second), (second, first)):
            getattr(source.events, name).connect(partial(_copy, source, target, name))


def _copy(source: Layer, target: Layer, name: str, _event: Any = None) -> None:
    """Set what differs only: napari puts the mode back to moving where a layer that is visible is made so again."""
    value = getattr(source, name)
    if getattr(target, name) != value:
        setattr(target, name, value)


def brush_size(lesions: Labels, diameter_mm: float) -> int:
    """Return napari's brush size for a diameter: it counts voxels along the finest axis on screen."""
    return max(1, round(diameter_mm / _finest_mm(lesions)))


def brush_mm(lesions: Labels) -> float:
    """Return the diameter of the brush."""
    return float(lesions.brush_size * _finest_mm(lesions))


def brush_tip_mm(lesions: Labels) -> float:
    """Return the diameter of what napari's brush paints: whole voxels around the middle one."""
    return float((2 * (lesions.brush_size // 2) + 1) * _finest_mm(lesions))


def is_mid_stroke(lesions: Labels) -> bool:
    """Whether a right-button stroke that will be closed and filled has been begun; napari has no public word for it."""
    overlay = lesions._overlays.get("brush_stroke")
    return bool(overlay is not None and overlay.active)


def forget_history(lesions: Labels) -> None:
    """Empty napari's own undo history, since undo goes through the session."""
    lesions._reset_history()


def is_ours(layer: Layer) -> bool:
    """Whether a layer knows its grid in the patient, as ours do."""
    return "covseg" in layer.metadata


def is_scan_of_ours(layer: Layer) -> bool:
    """Whether a layer is a scan that our reader opened."""
    return isinstance(layer, Image) and is_ours(layer)


def _finest_mm(lesions: Labels) -> float:
    return float(min(lesions.scale[1:]))
