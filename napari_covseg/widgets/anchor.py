"""Layers stay where the scan is: on one that was dragged or turned, a stroke would land elsewhere in the patient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Layer

PLACE = ("scale", "translate", "rotate", "shear", "affine")
MOVING = "transform"
STAYS = "The layers stay where the scan is; they cannot be moved or turned."


def anchored(layer: Layer, say: Callable[[str], None]) -> None:
    """Let a layer neither be moved, turned nor stretched from now on.

    Parameters
    ----------
    layer
        Of a scan on the bench.
    say
        Told why, whenever it is tried.
    """
    place = _place(layer)

    def put_back(_event: Any = None) -> None:
        now = _place(layer)
        moved = [name for name in PLACE if not np.array_equal(now[name], place[name])]
        for name in moved:
            setattr(layer, name, place[name])
        if moved:
            say(STAYS)

    def leave_mode(_event: Any = None) -> None:
        if str(layer.mode) == MOVING:
            layer.mode = "pan_zoom"
            say(STAYS)

    layer.events.mode.connect(leave_mode)
    for name in PLACE:
        getattr(layer.events, name).connect(put_back)


def _place(layer: Layer) -> dict[str, Any]:
    found = {name: np.array(getattr(layer, name)) for name in PLACE if name != "affine"}
    return {**found, "affine": layer.affine.affine_matrix.copy()}
