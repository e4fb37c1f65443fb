"""The lungs that networks drew are there after a restart, and nothing in them can stop a review."""

import numpy as np
import pytest

from napari_covseg.networks import available
from napari_covseg.networks.registry import load
from napari_covseg.review.drawn_lungs import FOLDER, keep_lung, kept_lungs
from napari_covseg.review.scene import DRAW_LUNGS, NO_LUNGS

SHAPE = (4, 7, 5)  # 35 pixels: no whole number of bytes


@pytest.fixture
def masks(tmp_path):
    rng = np.random.default_rng(0)
    masks = {index: rng.random(SHAPE[1:]) < 0.5 for index in (1, 3)}
    for index, mask in masks.items():
        keep_lung(tmp_path, index, mask)
    return masks


def told(folder, shape=SHAPE):
    return {index: mask.tolist() for index, mask in kept_lungs(folder, shape)}


def test_they_come_back_as_they_were_and_the_last_one_drawn_stands(masks, tmp_path):
    assert told(tmp_path) == {index: mask.tolist() for index, mask in masks.items()}
    keep_lung(tmp_path, 3, ~masks[3])
    assert told(tmp_path)[3] == (~masks[3]).tolist()
    assert {each.name for each in (tmp_path / FOLDER).iterdir()} == {"1", "3"}


@pytest.mark.parametrize("content", [b"", b"no lungs", None])
def test_a_damaged_slice_is_one_without_lungs(masks, tmp_path, content):
    path = tmp_path / FOLDER / "3"
    path.write_bytes(path.read_bytes()[:-3] if content is None else content)
    assert told(tmp_path) == {1: masks[1].tolist()}


def test_those_of_another_grid_are_left_out(masks, tmp_path):
    assert told(tmp_path, (4, 7, 8)) == {}


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path):
    keep_lung(tmp_path / "gone", 0, np.ones(SHAPE[1:], bool))
    assert not (tmp_path / "gone").exists()
    assert told(tmp_path / "gone") == {}


def test_the_sentence_names_every_network_that_draws_lungs_and_no_other():
    for spec in map(load, available()):
        draws = any("lung" in stage.channels(spec.scheme) for stage in spec.stages)
        assert (spec.title in DRAW_LUNGS) == draws
    assert DRAW_LUNGS in NO_LUNGS
