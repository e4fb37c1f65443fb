"""What is under the cursor: Hounsfield units, the class, and where in the patient that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Labels, Layer

from napari_covseg.volume import LESIONS
from napari_covseg.widgets.orientation import patient_position
from napari_covseg.widgets.words import signed
from napari_covseg.workbench import OpenScan

TITLES = {each.value: each.title for each in LESIONS}


def under_cursor(opened: OpenScan, lesions: Labels, position_mm: Sequence[float]) -> str:
    """Return the line for a place, in napari's millimetres from the first voxel; empty outside the scan."""
    spacing_mm = opened.scan.geometry.spacing_mm
    index = np.round(np.asarray(position_mm[-3:], dtype=float) / spacing_mm).astype(int)
    if not all(0 <= i < n for i, n in zip(index, opened.scan.geometry.shape, strict=True)):
        return ""
    at = tuple(int(i) for i in index)
    said = [f"{signed(round(float(opened.scan.hu[at])))} HU", TITLES.get(int(lesions.data[at]), "")]
    place = patient_position(opened.scan.geometry.to_mm(at).tolist())
    return "   ".join(filter(None, (*said, place)))


def tell_status(layer: Layer, opened: OpenScan, lesions: Labels) -> None:
    """Let napari's status line say of a layer what a radiologist wants to know.

    napari asks the selected layer, from a thread of its own, and offers no other way in.
    """
    asked = layer.get_status

    def status(position: Any = None, **details: Any) -> dict[str, str]:
        flat = len(details.get("dims_displayed") or (0, 0)) == 2
        if position is None or not details.get("world") or not flat:
            return dict(asked(position, **details))
        said = under_cursor(opened, lesions, position)
        parts = {"coordinates": said, "coords": said, "value": ""}
        return {"layer_name": "", "layer_base": "", "source_type": "", "plugin": "", **parts}

    layer.get_status = status
