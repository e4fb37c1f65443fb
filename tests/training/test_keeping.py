"""What holds a child to its parent: its say and its weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_covseg.networks import load
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.keeping import (
    FEW_SLICES,
    NOBODY,
    Keeping,
    between,
    disagreement,
    held_to,
)
from napari_covseg.training.losses import stage_loss
from napari_covseg.training.rehearsal import OF_BEFORE

THREE = ("ggo", "consolidation", "effusion")
SPEC = load("res_att_unet")
(STAGE,) = SPEC.stages
ALL = torch.tensor(True)
CONFIG = TrainingConfig(steps=3, batch=2, crop=32, augmentation=())


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4))


def test_who_agrees_has_nothing_added_and_who_differs_has():
    same = torch.tensor([[[[0.7]], [[0.3]]]])
    other = torch.tensor([[[[0.2]], [[0.8]]]])
    assert float(disagreement(same.log(), same.log(), ALL)) == pytest.approx(0, abs=1e-6)
    wanted = 0.7 * np.log(0.7 / 0.2) + 0.3 * np.log(0.3 / 0.8)
    assert float(disagreement(other.log(), same.log(), ALL)) == pytest.approx(
        2 * wanted, rel=1e-4
    )  # in doubt, and on the whole


def test_where_both_see_background_a_lesion_elsewhere_still_weighs():
    sure = torch.tensor([0.999, 0.001]).reshape(1, 2, 1, 1).repeat(1, 1, 1, 100)
    lost = sure.clone()
    wanted = sure.clone()
    wanted[..., 0] = torch.tensor([0.1, 0.9]).reshape(1, 2, 1)
    assert float(disagreement(lost.log(), wanted.log(), ALL)) > 5


@pytest.mark.parametrize(
    ("annotated", "counts"), [(NOBODY, True), (frozenset({"ggo", OF_BEFORE}), True), (frozenset(THREE), False)]
)
def test_the_parent_is_heard_on_all_but_reviewed_slices(annotated, counts):
    parent, child = network(0), network(1)
    batch = ((torch.rand(2, 1, 8, 8),), torch.zeros(2, 8, 8), [annotated] * 2)
    beside = held_to(parent, STAGE, THREE, Keeping(distil=2.0), 3)
    assert (float(beside(child, child.eval()(*batch[0]), batch)) > 0) is counts
    alike = held_to(parent, STAGE, THREE, Keeping(distil=2.0), 3)
    assert float(alike(parent, parent.eval()(*batch[0]), batch)) == pytest.approx(0, abs=1e-5)


def test_the_pull_is_the_squared_distance_shared_over_the_parts():
    parent, child = network(0), network(1)
    batch = ((torch.rand(1, 1, 4, 4),), torch.zeros(1, 4, 4), [frozenset(THREE)])
    beside = held_to(parent, STAGE, THREE, Keeping(distil=0, pull=6.0), 3)
    pairs = zip(parent.parameters(), child.parameters(), strict=True)
    distance = sum(float((a - b).square().sum()) for a, b in pairs)
    added = beside(child, child(*batch[0]), batch)
    assert float(added) == pytest.approx(2 * distance, rel=1e-5)


def test_a_rehearsed_slice_teaches_what_it_always_did(make_stack):
    logits = torch.rand(1, 4, 8, 8)
    labels = torch.full((1, 8, 8), 4)
    loss = stage_loss(STAGE, THREE, "ce_plus_dice")
    plain = loss(logits, labels, [frozenset({"infection"})])
    assert torch.equal(plain, loss(logits, labels, [frozenset({"infection", OF_BEFORE})]))


def test_between_a_parent_and_its_child_lie_the_weights_of_both():
    parent, child = network(0), network(1)
    child[1].num_batches_tracked += 7
    half = between(parent, child, 0.5)
    assert torch.allclose(half["0.weight"], (parent[0].weight + child[0].weight) / 2)
    assert int(half["1.num_batches_tracked"]) == 7
    whole = between(parent, child, 1.0)
    assert all(torch.equal(whole[name], tensor) for name, tensor in child.state_dict().items())


@pytest.mark.parametrize(
    ("slices", "asked", "stays"), [(1, None, True), (FEW_SLICES + 1, None, False), (500, True, True)]
)
def test_batch_norms_stay_for_a_few_slices(slices, asked, stays):
    assert replace(Keeping(), freeze_batch_norm=asked).batch_norm_stays(slices) is stays
