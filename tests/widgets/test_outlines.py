from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

napari = pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402 - napari is optional
from napari.layers import Labels  # noqa: E402
from napari.layers.labels._labels_utils import get_contours  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402

from napari_covseg.widgets.outlines import outline, outlined  # noqa: E402


def blobs(seed: int, shape: tuple[int, ...] = (60, 47)) -> Any:
    """Blobs of four classes that touch one another and the edges."""
    rng = np.random.default_rng(seed)
    return np.stack([gaussian_filter(rng.normal(size=shape), 4) for _ in range(5)]).argmax(axis=0).astype(np.uint8)


@pytest.mark.parametrize("width", [1, 2, 3, 6])
def test_outlines_are_those_that_napari_draws(width: int) -> None:
    for seed in range(5):
        labels = blobs(seed)
        np.testing.assert_array_equal(outlined(labels, width), get_contours(labels, width, 0))


@pytest.mark.parametrize("width", [1, 3])
def test_a_lesion_away_from_the_edges_is_outlined_as_napari_does(width: int) -> None:
    labels = np.zeros((90, 80), dtype=np.uint8)
    labels[30:60, 20:50] = blobs(0)[:30, :30]
    np.testing.assert_array_equal(outlined(labels, width), get_contours(labels, width, 0))


def test_an_empty_slice_has_no_outlines() -> None:
    assert not outlined(np.zeros((8, 8), dtype=np.uint8), 2).any()


def test_a_layer_draws_our_outlines_and_is_whole_in_3d_without_a_warning() -> None:
    model = ViewerModel()
    values = np.stack([blobs(seed) for seed in range(4)])
    layer = Labels(values)
    outline(layer, 2)
    model.add_layer(layer)
    model.dims.set_current_step(0, 3)
    np.testing.assert_array_equal(layer._slice.image.view > 0, get_contours(values[3], 2, 0) > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.dims.ndisplay = 3
    assert np.count_nonzero(layer._slice.image.view) == np.count_nonzero(values)
