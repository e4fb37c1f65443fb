"""The loss claims nothing the annotator did not say."""

import pytest
import torch

from napari_covseg.training.losses import IGNORED, grouping, marginal_loss

CHANNELS = ("background", "ggo", "consolidation", "effusion")
FULL = frozenset({"ggo", "consolidation", "effusion", "lung"})
EFFUSION = frozenset({"effusion"})
INFECTION = frozenset({"infection", "lung"})


def _gradient(labels, annotated):
    logits = torch.zeros(1, 4, 1, 2, requires_grad=True)
    marginal_loss(logits, torch.tensor([[labels]], dtype=torch.uint8), [annotated], CHANNELS).backward()
    return logits.grad[0, :, 0, :]


def test_full_annotation_keeps_every_class_apart():
    assert grouping(FULL, CHANNELS).groups == (("background",), ("ggo",), ("consolidation",), ("effusion",))


def test_effusion_alone_merges_everything_else():
    assert grouping(EFFUSION, CHANNELS).groups == (("background", "ggo", "consolidation"), ("effusion",))


def test_infection_is_ground_glass_or_consolidation():
    assert grouping(INFECTION, CHANNELS).groups == (("background", "effusion"), ("ggo", "consolidation"))


def test_not_effusion_is_never_taught_as_healthy():
    """Where only effusion was looked for, background and opacities are pushed alike."""
    gradient = _gradient([0, 3], EFFUSION)
    assert torch.allclose(gradient[0], gradient[1])
    assert torch.allclose(gradient[0], gradient[2])
    assert gradient[3, 0] > 0 > gradient[3, 1]


def test_infection_never_says_which_opacity_it_is():
    gradient = _gradient([0, 4], INFECTION)
    assert torch.allclose(gradient[1], gradient[2])
    assert gradient[1, 0] > 0 > gradient[1, 1]


def test_full_annotation_does_say_which():
    gradient = _gradient([1, 2], FULL)
    assert gradient[1, 0] < 0 < gradient[2, 0]
    assert gradient[2, 1] < 0 < gradient[1, 1]


def test_a_value_outside_the_annotation_teaches_nothing():
    target = grouping(EFFUSION, CHANNELS).target(torch.tensor([0, 1, 3], dtype=torch.uint8))
    assert target.tolist() == [0, IGNORED, 1]


def test_ignored_voxels_have_no_gradient():
    gradient = _gradient([IGNORED, 1], FULL)
    assert not gradient[:, 0].any()
    assert gradient[:, 1].any()


def test_the_right_answer_costs_almost_nothing():
    labels = torch.tensor([[[0, 1, 2, 3] * 16] * 16], dtype=torch.uint8)
    right = torch.nn.functional.one_hot(labels.long(), 4).movedim(-1, 1).float() * 20
    assert marginal_loss(right, labels, [FULL], CHANNELS) < 0.01
    assert marginal_loss(right.roll(1, dims=1), labels, [FULL], CHANNELS) > 5


def test_a_mixed_batch_is_the_mean_of_its_kinds():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 8, 8)
    labels = torch.randint(0, 2, (2, 8, 8), dtype=torch.uint8) * 3
    both = marginal_loss(logits, labels, [FULL, EFFUSION], CHANNELS)
    alone = [
        marginal_loss(logits[i : i + 1], labels[i : i + 1], [kind], CHANNELS) for i, kind in ((0, FULL), (1, EFFUSION))
    ]
    assert both.item() == pytest.approx((alone[0] + alone[1]).item() / 2, rel=1e-5)
