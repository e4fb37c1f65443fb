"""Augmentation by name, each on what it may change."""

from math import radians

import pytest
import torch

from napari_covseg.training import augment as strengths
from napari_covseg.training.augment import SHIPPED, augmentation, augmented

SIDE = 24


@pytest.fixture
def picture():
    torch.manual_seed(0)
    grey = torch.rand(2, SIDE, SIDE)
    labels = (grey * 4).to(torch.uint8)
    return grey, labels, labels > 1


def augment(names, picture, seed=0):
    return augmented(augmentation(names, SIDE, seed), *picture)


def test_no_names_change_nothing(picture):
    for before, after in zip(picture, augment((), picture), strict=True):
        assert torch.allclose(before.float(), after.float(), atol=1e-5)


@pytest.mark.parametrize("name", ["window", "gamma", "blur", "noise"])
def test_intensities_leave_labels_and_regions_where_they_are(picture, name):
    found = [augment((name,), picture, seed) for seed in range(20)]
    assert any(not torch.allclose(grey, picture[0], atol=1e-4) for grey, _, _ in found)
    assert all(torch.equal(labels, picture[1]) and torch.equal(seen, picture[2]) for _, labels, seen in found)


@pytest.mark.parametrize("name", ["rotate", "rescale", "translate", "rotate_90", "flip"])
def test_moves_take_labels_and_regions_along(picture, name):
    found = [augment((name,), picture, seed) for seed in range(8)]
    assert any(not torch.equal(labels, picture[1]) for _, labels, _ in found)
    for _, labels, seen in found:
        assert torch.equal(seen, labels > 1)


def test_rows_and_columns_are_rescaled_each_for_itself_and_no_further_than_is_written_down():
    affine = augmentation(("rescale", "translate", "rotate"), SIDE, 0).transforms[0].rand_affine.rand_affine_grid
    found = []
    for _ in range(1000):
        affine.randomize()
        found.append((*affine.scale_params, *affine.translate_params, *affine.rotate_params))
    most = torch.tensor(found).sub(torch.tensor([1.0, 1, 0, 0])).abs().amax(0).tolist()
    far = (strengths.ROWS_RESCALED, strengths.LARGEST_ZOOM_OUT - 1, strengths.TRANSLATION * SIDE)
    assert most == pytest.approx([*far, radians(strengths.ROTATION_DEGREES)], rel=0.02)


def test_a_flip_exchanges_left_and_right_alone(picture):
    flipped = [grey for grey, _, _ in (augment(("flip",), picture, seed) for seed in range(8))]
    for grey in flipped:
        assert torch.allclose(grey, picture[0], atol=1e-4) or torch.allclose(grey, picture[0].flip(2), atol=1e-4)
    assert any(torch.allclose(grey, picture[0].flip(2), atol=1e-4) for grey in flipped)


def test_a_seed_says_everything(picture):
    first, again, other = (augment(SHIPPED, picture, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_slices_of_a_stack_are_moved_alike(picture):
    grey = picture[0][:1].repeat(2, 1, 1)
    moved, *_ = augment(("rotate", "rescale", "flip"), (grey, *picture[1:]), 5)
    assert torch.equal(moved[0], moved[1])


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="no augmentation elastic"):
        augmentation(("flip", "elastic"), SIDE, 0)
