"""The lungs that networks drew are there after a restart, and nothing in them can stop a review."""

import os
import tracemalloc
import zlib

import numpy as np
import pytest

from napari_covseg.networks import available
from napari_covseg.networks.registry import load
from napari_covseg.review.drawn_lungs import FOLDER, SEAL_BYTES, LungFiles
from napari_covseg.review.scene import DRAW_LUNGS, NO_LUNGS

SHAPE = (4, 7, 5)  # 35 pixels: no whole number of bytes


@pytest.fixture
def masks(tmp_path):
    rng = np.random.default_rng(0)
    masks = {index: rng.random(SHAPE[1:]) < 0.5 for index in (1, 3)}
    for index, mask in masks.items():
        files_in(tmp_path).keep(index, mask)
    return masks


def files_in(folder, shape=SHAPE, scan_sha256="ab" * 32):
    return LungFiles(folder, scan_sha256, shape)


def told(*args, **kwargs):
    return {index: mask.tolist() for index, mask in files_in(*args, **kwargs).kept()}


def test_they_come_back_as_they_were_and_the_last_one_drawn_stands(masks, tmp_path):
    assert told(tmp_path) == {index: mask.tolist() for index, mask in masks.items()}
    files_in(tmp_path).keep(3, ~masks[3])
    assert told(tmp_path)[3] == (~masks[3]).tolist()
    assert {each.name for each in (tmp_path / FOLDER).iterdir()} == {"1", "3"}


def test_a_mask_that_cannot_be_compressed_comes_back_whole(tmp_path):
    shape = (1, 512, 512)
    mask = np.random.default_rng(0).random(shape[1:]) < 0.5
    files_in(tmp_path, shape).keep(0, mask)
    assert told(tmp_path, shape) == {0: mask.tolist()}


@pytest.mark.parametrize("content", [b"", b"no lungs", None])
def test_a_damaged_slice_is_one_without_lungs(masks, tmp_path, content):
    path = tmp_path / FOLDER / "3"
    path.write_bytes(path.read_bytes()[:-3] if content is None else content)
    assert told(tmp_path) == {1: masks[1].tolist()}


def test_every_bit_of_a_mask_is_sealed(masks, tmp_path):
    path = tmp_path / FOLDER / "3"
    packed = bytearray(np.packbits(masks[3]).tobytes())
    packed[2] ^= 8
    path.write_bytes(path.read_bytes()[:SEAL_BYTES] + zlib.compress(bytes(packed)))
    assert told(tmp_path) == {1: masks[1].tolist()}


def test_those_of_another_grid_are_left_out(masks, tmp_path):
    assert told(tmp_path, (4, 7, 8)) == {}


def test_those_of_a_neighbour_and_of_another_scan_are_left_out(masks, tmp_path):
    (tmp_path / FOLDER / "2").write_bytes((tmp_path / FOLDER / "1").read_bytes())
    (tmp_path / FOLDER / "3").write_bytes((tmp_path / FOLDER / "1").read_bytes())
    assert told(tmp_path) == {1: masks[1].tolist()}
    assert told(tmp_path, scan_sha256="cd" * 32) == {}


def test_a_file_that_unpacks_to_far_more_than_a_mask_takes_no_more_than_a_mask(masks, tmp_path):
    path = tmp_path / FOLDER / "3"
    path.write_bytes(path.read_bytes()[:SEAL_BYTES] + zlib.compress(bytes(200_000_000), 9))
    tracemalloc.start()
    assert told(tmp_path) == {1: masks[1].tolist()}
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1_000_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes here")
def test_nobody_waits_for_a_pipe(masks, tmp_path):
    (tmp_path / FOLDER / "3").unlink()
    os.mkfifo(tmp_path / FOLDER / "3")
    assert told(tmp_path) == {1: masks[1].tolist()}


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path):
    with pytest.raises(FileNotFoundError):
        files_in(tmp_path / "gone").keep(0, np.ones(SHAPE[1:], bool))
    assert not (tmp_path / "gone").exists()
    assert told(tmp_path / "gone") == {}


def test_the_sentence_names_every_network_that_draws_lungs_and_no_other():
    for spec in map(load, available()):
        draws = any("lung" in stage.channels(spec.scheme) for stage in spec.stages)
        assert (spec.title in DRAW_LUNGS) == draws
    assert DRAW_LUNGS in NO_LUNGS
