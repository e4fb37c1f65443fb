from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_covseg.widgets.anchor import STAYS


@pytest.mark.parametrize("name", ["lesions", "case_ct"])
def test_a_layer_can_be_neither_dragged_nor_turned(at_work: Any, name: str) -> None:
    told: list[str] = []
    at_work.bench.said.connect(told.append)
    layer = at_work.viewer.layers[name]
    at_work.viewer.layers.selection.active = layer
    before = layer.data_to_world((6, 24, 12))
    at_work.key(Qt.Key.Key_7 if name == "lesions" else Qt.Key.Key_2)  # napari's keys for moving a layer
    at_work.stroke((24, 12), (14, 4))
    assert str(layer.mode) == "pan_zoom"
    layer.affine = np.diag([1.0, 1.0, 2.0, 1.0])
    layer.translate = (0, 9, 9)
    assert layer.data_to_world((6, 24, 12)) == pytest.approx(before)
    assert set(told) == {STAYS}


def test_what_is_painted_afterwards_lands_under_the_cursor(at_work: Any) -> None:
    at_work.key(Qt.Key.Key_7)
    at_work.stroke((24, 12), (14, 4))
    at_work.key(Qt.Key.Key_A)
    at_work.stroke((24, 12), (24, 12))
    painted = np.argwhere(at_work.session.labels.values)
    assert painted.mean(axis=0) == pytest.approx((6, 24, 12), abs=0.6)


def test_without_the_scan_nothing_is_painted(at_work: Any) -> None:
    at_work.viewer.layers.remove(at_work.viewer.layers["case_ct"])
    at_work.live(0.2)
    assert "lesions" not in at_work.viewer.layers
