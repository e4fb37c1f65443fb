"""A crop: grey and labels move together, streams are what inference would show, and nothing is claimed beyond."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_covseg.networks import load
from napari_covseg.preprocess import Equalise, Window
from napari_covseg.training.augment import SHIPPED
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.crops import Crop, cropped_sample, window_of
from napari_covseg.training.stacks import HEALTHY_LUNG, IGNORED
from napari_covseg.volume import Geometry, Volume

MOVES = ("rotate", "rescale", "translate", "rotate_90", "flip")
CONFIG = TrainingConfig(steps=1, crop=32, depth=4, augmentation=MOVES)
KEYS = ("res_att_unet", "masc_net", "covid_segnet")


def sample(stack, key, stage=0, middle=0, label=None, config=CONFIG, seed=0):
    spec = load(key)
    return cropped_sample(stack, spec, spec.stages[stage], Crop(middle, label, config), np.random.default_rng(seed))


@pytest.fixture
def stack(make_stack):
    """Six slices 64 × 64 with a square of each class, lung around them."""
    labels = np.zeros((6, 64, 64), np.uint8)
    labels[:, 8:56, 8:56] = HEALTHY_LUNG
    labels[:, 12:28, 12:28], labels[:, 12:28, 36:52], labels[:, 36:52, 12:28] = 1, 2, 3
    return make_stack(labels, {"ggo", "consolidation", "effusion", "lung"})


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("seed", range(4))
def test_grey_and_labels_move_together(stack, key, seed):
    """Grey tells the labels apart in this stack, and must still do so after rotation, scale, shift and flip."""
    found = sample(stack, key, seed=seed)
    grey, labels = found.streams[0][0].numpy(), found.labels.numpy()
    assert grey.shape == labels.shape
    known = labels != IGNORED
    shown = window_of((labels[known].astype(int) * 40 + 5).astype(np.uint8), Window(-1000, 400))
    if key == "masc_net":
        shown = window_of((labels[known].astype(int) * 40 + 5).astype(np.uint8), Window(-1000, 1000))
    assert np.median(np.abs(grey[known] - shown)) < 0.03
    assert np.mean(np.abs(grey[known] - shown)) < 0.08


@pytest.mark.parametrize("label", [1, 2, 3])
def test_a_crop_looks_at_the_label_it_was_drawn_for(stack, label):
    seen = [(sample(stack, "res_att_unet", label=label, seed=seed).labels == label).any() for seed in range(20)]
    assert np.mean(seen) > 0.9


def test_the_same_generator_gives_the_same_crop_and_another_another(stack):
    config = replace(CONFIG, augmentation=SHIPPED)
    first, again, other = (sample(stack, "res_att_unet", config=config, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.streams[0], again.streams[0])
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.streams[0], other.streams[0])


def test_a_patch_beyond_the_stack_teaches_nothing_there(stack):
    config = replace(CONFIG, depth=8)
    first = sample(stack, "covid_segnet", middle=0, config=config)
    assert first.streams[0].shape == (1, 8, 32, 32)
    assert (first.labels == IGNORED).flatten(1).all(dim=1).tolist() == [True] * 4 + [False] * 4
    last = sample(stack, "covid_segnet", middle=5, config=config)
    assert (last.labels == IGNORED).flatten(1).all(dim=1).tolist() == [False] * 5 + [True] * 3


def test_a_lone_slice_becomes_a_slab_that_teaches_on_its_centre_only(make_stack):
    found = sample(make_stack(np.full((1, 40, 40), 2)), "covid_segnet")
    known = (found.labels != IGNORED).flatten(1).any(dim=1)
    assert known.tolist() == [False, False, True, False]
    assert torch.equal(found.streams[0][0, 0], found.streams[0][0, 3])


@pytest.mark.parametrize("side", [64, 63, 32])
def test_beyond_the_slice_is_air_without_a_lesion(make_stack, side):
    config = replace(CONFIG, crop=side, augmentation=())
    found = sample(make_stack(np.full((1, 16, 16), 3)), "res_att_unet", config=config)
    assert (found.labels == 3).sum() == 16 * 16
    assert found.streams[0][0][found.labels == 0].max() < 1e-3


def regions(labels, *names):
    return {name: np.isin(labels, values) for name, values in zip(names, ([1, 2, 3, 5], [1, 2, 3]), strict=False)}


def test_a_masked_stream_is_black_outside_what_the_earlier_stage_saw(stack, make_stack):
    seeing = make_stack(stack.labels, stack.annotated, **regions(stack.labels, "lung"))
    shown = sample(seeing, "chs_net", stage=1, seed=3)
    assert torch.equal(shown.streams[0][0] > 0, shown.labels != IGNORED)
    assert 0 < (shown.labels != IGNORED).float().mean() < 1


def test_each_stream_is_masked_by_its_own_stages(stack, make_stack):
    seeing = make_stack(stack.labels, stack.annotated, **regions(stack.labels, "lung", "infection"))
    config = replace(CONFIG, crop=48)
    infection = sample(seeing, "two_stream_segnet", stage=1, config=config, seed=3)
    whole, in_lung = infection.streams
    assert whole[0][infection.labels == IGNORED].any()
    assert torch.equal(in_lung, whole * (infection.labels != IGNORED))
    lesion = sample(seeing, "two_stream_segnet", stage=2, config=config, seed=3)
    in_infection = lesion.streams[1][0] > 0
    assert torch.equal(in_infection, lesion.labels != IGNORED)
    assert set(lesion.labels.unique().tolist()) <= {1, 2, 3, IGNORED}


def equalised(grey):
    plane = grey[None].numpy()
    return torch.from_numpy(Equalise()(Volume(plane, Geometry(plane.shape, np.eye(4)))).hu[0])


def test_an_equalised_stream_is_cut_from_the_whole_augmented_slice(stack):
    config = replace(CONFIG, augmentation=SHIPPED)
    whole = sample(stack, "masc_net", config=replace(config, crop=64), label=1)
    assert torch.equal(whole.streams[1][0], equalised(whole.streams[0][0]))
    part = sample(stack, "masc_net", config=config, label=1)
    grey, wanted = whole.streams[0][0].unfold(0, 32, 1).unfold(1, 32, 1), part.streams[0][0]
    ((row, column),) = (grey == wanted).all(dim=-1).all(dim=-1).nonzero()
    assert torch.equal(part.streams[1][0], whole.streams[1][0][row : row + 32, column : column + 32])
    assert not torch.allclose(part.streams[1][0], equalised(wanted), atol=0.01)


def test_structure_and_texture_are_the_two_parts_of_one_grey(stack, make_stack):
    config = replace(CONFIG, augmentation=SHIPPED)
    structure, texture = sample(stack, "two_stream_segnet", config=config).streams
    seeing = make_stack(stack.labels, stack.annotated, **regions(stack.labels, "lung"))
    grey, _ = sample(seeing, "two_stream_segnet", stage=1, config=config).streams
    assert torch.allclose(structure + texture, grey, atol=1e-6)
    assert texture.abs().max() > 0.01
