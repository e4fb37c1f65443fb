"""The loss claims nothing the annotator did not say."""

from dataclasses import replace

import pytest
import torch

from napari_covseg.networks import load
from napari_covseg.training.losses import MIXTURES, labels_within, marginal_loss, stage_loss, teaching
from napari_covseg.training.stacks import HEALTHY_LUNG, IGNORED

THREE = ("ggo", "consolidation", "effusion")
TWO = ("ggo", "consolidation")
ONE = ("infection",)
FULL = frozenset(THREE)
FULL_LUNG = FULL | {"lung"}
EFFUSION = frozenset({"effusion"})
INFECTION = frozenset({"infection"})
INFECTION_LUNG = INFECTION | {"lung"}
CROSS_ENTROPY = (1.0, 0.0)
B, G, C, E, N, L = "background", "ggo", "consolidation", "effusion", "infection", "lung"
X = IGNORED


def stage(key, name="lesion"):
    (found,) = [stage for stage in load(key).stages if stage.name == name]
    return found


SOFTMAX = ("res_att_unet", "lesion")
WITH_LUNG = ("covid_segnet", "lesion")
SIGMOID = ("masc_net", "lesion")
LUNG = ("chs_net", "lung")
LUNG_SOFTMAX = ("two_stream_segnet", "lung")
INFECTED = ("two_stream_segnet", "infection")

GROUPS = [
    (SOFTMAX, THREE, FULL, ((B,), (G,), (C,), (E,))),
    (SOFTMAX, THREE, FULL_LUNG, ((B,), (G,), (C,), (E,))),
    (SOFTMAX, THREE, EFFUSION, ((B, G, C), (E,))),
    (SOFTMAX, THREE, INFECTION, ((B, E), (G, C))),
    (SOFTMAX, THREE, INFECTION_LUNG, ((B, E), (G, C))),
    (WITH_LUNG, THREE, FULL_LUNG, ((B,), (G,), (C,), (E,), (L,))),
    (WITH_LUNG, THREE, FULL, ((B, L), (G,), (C,), (E,))),
    (WITH_LUNG, THREE, EFFUSION, ((B, L, G, C), (E,))),
    (WITH_LUNG, THREE, EFFUSION | {L}, ((B,), (E,), (L, G, C))),
    (WITH_LUNG, THREE, INFECTION, ((B, L, E), (G, C))),
    (WITH_LUNG, THREE, INFECTION_LUNG, ((B, E), (G, C), (L,))),
    (WITH_LUNG, ONE, FULL_LUNG, ((B,), (N,), (L,))),
    (WITH_LUNG, ONE, INFECTION, ((B, L), (N,))),
    (SIGMOID, ONE, FULL, ((B,), (N,))),
    (SIGMOID, ONE, INFECTION_LUNG, ((B,), (N,))),
    (SIGMOID, ONE, EFFUSION, ((B, N),)),
    (SIGMOID, THREE, EFFUSION, ((B, G, C), (E,))),
]

MEANT = [  # the group that labels 0 … 5 mean: background, ggo, consolidation, effusion, infection, healthy lung
    (SOFTMAX, THREE, FULL, (0, 1, 2, 3, 4, 0)),
    (SOFTMAX, THREE, EFFUSION, (0, X, X, 1, X, 0)),
    (SOFTMAX, THREE, INFECTION_LUNG, (0, 1, 1, X, 1, 0)),
    (WITH_LUNG, THREE, FULL_LUNG, (0, 1, 2, 3, 5, 4)),
    (WITH_LUNG, THREE, FULL, (0, 1, 2, 3, 4, 0)),
    (SOFTMAX, THREE, frozenset({G, N}), (0, 1, 2, X, 3, 0)),
    (SOFTMAX, THREE, frozenset({G, E}), (0, 1, X, 2, X, 0)),
    (SOFTMAX, (*TWO, N), FULL, (0, 1, 2, X, 3, 0)),
    (WITH_LUNG, THREE, INFECTION_LUNG, (0, 1, 1, X, 1, 2)),
    (WITH_LUNG, ONE, FULL_LUNG, (0, 1, 1, X, 1, 2)),
    (SIGMOID, ONE, FULL, (0, 1, 1, X, 1, 0)),
    (SIGMOID, ONE, INFECTION, (0, 1, 1, X, 1, 0)),
    (LUNG, THREE, FULL_LUNG, (0, 1, 1, 1, 1, 1)),
    (LUNG, THREE, INFECTION_LUNG, (0, 1, 1, 1, 1, 1)),
    (LUNG, THREE, FULL, (X, X, X, 1, X, X)),
    (LUNG, THREE, EFFUSION, (X, X, X, 1, X, X)),
    (LUNG, THREE, INFECTION, (X, X, X, X, X, X)),
    (LUNG, ONE, FULL_LUNG, (0, 1, 1, X, 1, 1)),
    (LUNG, ONE, EFFUSION, (X, X, X, X, X, X)),
    (LUNG_SOFTMAX, TWO, FULL_LUNG, (0, 1, 1, X, 1, 1)),
    (INFECTED, THREE, FULL, (0, 1, 1, 1, 1, 0)),
    (INFECTED, THREE, EFFUSION, (X, X, X, 1, X, X)),
    (INFECTED, THREE, INFECTION_LUNG, (X, 1, 1, 1, 1, 0)),
    (INFECTED, TWO, INFECTION_LUNG, (0, 1, 1, X, 1, 0)),
    (INFECTED, TWO, FULL, (0, 1, 1, X, 1, 0)),
    (INFECTED, TWO, EFFUSION, (X, X, X, X, X, X)),
]


@pytest.mark.parametrize(("which", "scheme", "annotated", "groups"), GROUPS)
def test_channels_that_nobody_told_apart_are_one_group(which, scheme, annotated, groups):
    assert teaching(stage(*which), scheme, annotated).groups == groups


@pytest.mark.parametrize(("which", "scheme", "annotated", "meant"), MEANT)
def test_every_label_means_a_group_or_nothing(which, scheme, annotated, meant):
    lesson = teaching(stage(*which), scheme, annotated)
    assert lesson.group_of == meant
    labels = torch.tensor([[0, 1, 2, 3, 4, HEALTHY_LUNG, IGNORED]], dtype=torch.uint8)
    assert lesson.target(labels).tolist() == [[*meant, IGNORED]]


@pytest.mark.parametrize(
    ("which", "scheme", "annotated", "teaches"),
    [
        (SIGMOID, ONE, EFFUSION, False),
        (SIGMOID, ONE, INFECTION, True),
        (SOFTMAX, THREE, EFFUSION, True),
        (("two_stream_segnet", "lesion"), TWO, EFFUSION, False),
        (LUNG, THREE, EFFUSION, True),
        (LUNG, THREE, FULL, True),
        (LUNG, ONE, FULL, False),
        (LUNG, THREE, INFECTION, False),
        (LUNG, THREE, frozenset({L}), True),
        (INFECTED, TWO, EFFUSION, False),
    ],
)
def test_a_kind_of_annotation_may_teach_nothing(which, scheme, annotated, teaches):
    assert teaching(stage(*which), scheme, annotated).says_something is teaches


@pytest.mark.parametrize(
    ("which", "scheme", "annotated", "one_sided"),
    [
        (LUNG, THREE, EFFUSION, True),
        (LUNG, THREE, FULL, True),
        (LUNG, THREE, FULL_LUNG, False),
        (LUNG, THREE, frozenset({L}), False),
        (LUNG, ONE, FULL, False),  # which says nothing
        (INFECTED, THREE, EFFUSION, True),
        (INFECTED, THREE, INFECTION_LUNG, False),
        (SOFTMAX, THREE, EFFUSION, False),
    ],
)
def test_what_never_says_where_something_is_not_is_one_sided(which, scheme, annotated, one_sided):
    assert teaching(stage(*which), scheme, annotated).is_one_sided is one_sided


def gradient(which, scheme, labels, annotated, channels, mixture=CROSS_ENTROPY):
    """Return d loss / d logit (channels, voxels) where every class is as likely as any other."""
    logits = torch.zeros(1, channels, 1, len(labels), requires_grad=True)
    target = torch.tensor([[labels]], dtype=torch.uint8)
    marginal_loss(logits, target, [annotated], stage=stage(*which), scheme=scheme, mixture=mixture).backward()
    return logits.grad[0, :, 0, :].T


def by_hand(groups, target):
    """Return p_c - [c in the target's group] p_c / p(group): the derivative of -log of a sum of softmax channels."""
    count = sum(groups)
    members = [group for group, size in enumerate(groups) for _ in range(size)]
    return torch.tensor([1 / count - (member == target) / groups[target] for member in members])


def test_not_effusion_is_never_taught_as_healthy():
    not_effusion, effusion = gradient(SOFTMAX, THREE, [0, 3], EFFUSION, 4)
    assert torch.allclose(not_effusion, by_hand((3, 1), 0) / 2)
    assert torch.allclose(effusion, by_hand((3, 1), 1) / 2)
    assert not_effusion[0] == not_effusion[1] == not_effusion[2] < 0 < not_effusion[3]


def test_infection_is_ground_glass_plus_consolidation_and_never_says_which():
    background, infection = gradient(SOFTMAX, THREE, [0, 4], INFECTION, 4)
    half = torch.tensor([0.25, -0.25, -0.25, 0.25]) / 2
    assert torch.allclose(infection, half)
    assert torch.allclose(background, -half)


@pytest.mark.parametrize("mixture", MIXTURES.values())
@pytest.mark.parametrize(("which", "channels"), [(SOFTMAX, 4), (WITH_LUNG, 5), (SIGMOID, 4)])
def test_an_opacity_of_no_said_type_raises_the_sum_of_both_where_others_have_one(which, channels, mixture):
    ggo, unsaid, _ = gradient(which, THREE, [1, 4, 3], FULL, channels, mixture)
    at = stage(*which).channels(THREE).index
    both = [at(G), at(C)]
    others = [index for index in range(channels) if index not in both]
    assert unsaid[both[0]] == unsaid[both[1]] < 0
    assert (unsaid[others] > 0).all()
    assert ggo[both[0]] < 0 < ggo[both[1]]  # beside it a type that was said is taught as before


def test_an_opacity_of_no_said_type_asks_for_the_sum_and_nothing_between_the_types():
    labels = torch.tensor([[[4, 1, 0]]], dtype=torch.uint8)
    told = torch.tensor([0.05, 0.85, 0.05, 0.05]).log()
    losses = []
    for ggo, consolidation in ((0.1, 0.4), (0.25, 0.25), (0.4, 0.1), (0.45, 0.1)):
        unsaid = torch.tensor([0.8 - ggo - consolidation, ggo, consolidation, 0.2]).log()
        logits = torch.stack([unsaid, told, told.roll(-1)], dim=1)[None, :, None]
        losses.append(stage_loss(stage(*SOFTMAX), THREE, "ce_plus_dice")(logits, labels, [FULL]).item())
    assert losses[:3] == pytest.approx([losses[0]] * 3, rel=1e-6)
    assert losses[3] < losses[0] - 0.01


def test_an_opacity_of_no_said_type_is_an_opacity_to_dice_and_none_of_the_types():
    """By hand: three classes without the voxel, and both opacities together with it."""
    labels = torch.tensor([[[4, 1, 0]]], dtype=torch.uint8)
    probabilities = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.6, 0.2, 0.1], [0.7, 0.1, 0.1, 0.1]]).T
    dice = stage_loss(stage(*SOFTMAX), THREE, "dice")(probabilities.log()[None, :, None], labels, [FULL])
    ggo, others = 1 - (2 * 0.6 + 1) / (0.7 + 1 + 1), [1 - 1 / (mass + 1) for mass in (0.3, 0.2)]
    together = 1 - (2 * (0.5 + 0.8) + 1) / (0.5 + 0.8 + 0.2 + 2 + 1)
    assert dice.item() == pytest.approx((ggo + sum(others) + together) / 4, rel=1e-5)


def test_full_annotation_does_say_which():
    ggo, consolidation = gradient(SOFTMAX, THREE, [1, 2], FULL, 4)
    assert torch.allclose(ggo, torch.tensor([0.25, -0.75, 0.25, 0.25]) / 2)
    assert torch.allclose(consolidation, torch.tensor([0.25, 0.25, -0.75, 0.25]) / 2)


def test_an_unknown_lung_is_lung_or_background():
    (unknown,) = gradient(WITH_LUNG, THREE, [0], FULL, 5)
    assert torch.allclose(unknown, torch.tensor([-0.3, -0.3, 0.2, 0.2, 0.2]))
    outside, healthy = gradient(WITH_LUNG, THREE, [0, HEALTHY_LUNG], FULL_LUNG, 5)
    assert torch.allclose(outside, torch.tensor([-0.8, 0.2, 0.2, 0.2, 0.2]) / 2)
    assert torch.allclose(healthy, torch.tensor([0.2, -0.8, 0.2, 0.2, 0.2]) / 2)


def test_a_lone_sigmoid_rises_on_any_opacity_and_falls_elsewhere():
    background, ggo, unspecified, effusion = gradient(SIGMOID, ONE, [0, 1, 4, 3], FULL, 1)
    assert (background, ggo, unspecified) == (0.5 / 3, -0.5 / 3, -0.5 / 3)
    assert effusion == 0


def test_effusion_alone_teaches_a_lung_stage_its_region_and_nothing_beside_it():
    outside, effusion, unlooked = gradient(LUNG, THREE, [0, 3, IGNORED], EFFUSION, 1)
    assert effusion == -0.5
    assert outside == unlooked == 0


def test_opacities_teach_a_lung_stage_only_where_a_lung_mask_is_known():
    opacities = gradient(LUNG, THREE, [1, 2, 4], FULL, 1)
    assert not opacities.any()
    assert (gradient(LUNG, THREE, [1, 2, 4], FULL_LUNG, 1) < 0).all()
    assert not gradient(LUNG, ONE, [0, 4], INFECTION, 1).any()


def test_outside_a_lung_mask_is_no_region_though_nobody_looked_for_effusion():
    """Decision 7: the seven patients with a lung mask and no word of effusion are most of what says "no lung"."""
    outside, in_lung, infection = gradient(LUNG, THREE, [0, HEALTHY_LUNG, 4], INFECTION_LUNG, 1)
    assert (outside, in_lung, infection) == (0.5 / 3, -0.5 / 3, -0.5 / 3)


@pytest.mark.parametrize(
    ("which", "scheme", "within"),
    [
        (LUNG, THREE, {1, 2, 3, 4, 5}),
        (LUNG, ONE, {1, 2, 4, 5}),
        (INFECTED, THREE, {1, 2, 3, 4}),
        (INFECTED, TWO, {1, 2, 4}),
    ],
)
def test_a_lesion_lies_in_the_region_of_its_stage_whoever_looked_for_it(which, scheme, within):
    assert set(labels_within(stage(*which), scheme)) == within


def test_without_effusion_in_the_scheme_it_is_no_part_of_the_lung():
    assert not gradient(LUNG, ONE, [0, 3], EFFUSION, 1).any()
    outside, effusion = gradient(LUNG, ONE, [0, 3], FULL_LUNG, 1)
    assert outside == 0.5
    assert effusion == 0


def test_an_infection_stage_is_taught_healthy_only_where_every_lesion_was_looked_for():
    outside, in_lung, opacity = gradient(INFECTED, THREE, [0, HEALTHY_LUNG, 4], INFECTION_LUNG, 2)
    assert not outside.any()  # it may be effusion
    assert torch.allclose(in_lung, torch.tensor([-0.25, 0.25]))
    assert torch.allclose(opacity, torch.tensor([0.25, -0.25]))


@pytest.mark.parametrize("mixture", MIXTURES.values())
def test_every_mixture_pulls_a_lesion_towards_its_class(mixture):
    background, ggo = gradient(SOFTMAX, THREE, [0, 1], FULL, 4, mixture)
    assert ggo[1] < 0
    assert ggo[1] == ggo.min()
    assert background[0] < 0


def test_a_class_given_up_as_impossible_is_still_pulled_back():
    logits = torch.tensor([0.0, 0.0, 60.0, -60.0]).reshape(1, 4, 1, 1).requires_grad_()
    effusion = torch.full((1, 1, 1), 3)
    marginal_loss(logits, effusion, [FULL], stage=stage(*SOFTMAX), scheme=THREE, mixture=(1.0, 1.0)).backward()
    assert logits.grad is not None
    assert logits.grad.flatten()[3] == pytest.approx(-1, abs=1e-3)


def test_ignored_voxels_have_no_gradient_of_dice_either():
    ignored, ggo = gradient(SOFTMAX, THREE, [IGNORED, 1], FULL, 4, (1.0, 1.0))
    assert not ignored.any()
    assert ggo.any()


def test_where_nothing_is_known_there_is_no_loss_at_all():
    assert not gradient(SOFTMAX, THREE, [IGNORED, IGNORED], FULL, 4, (1.0, 1.0)).any()


def test_the_right_answer_costs_almost_nothing():
    labels = torch.tensor([[[0, 1, 2, 3] * 16] * 16], dtype=torch.uint8)
    right = torch.nn.functional.one_hot(labels.long(), 4).movedim(-1, 1).float() * 20
    loss = stage_loss(stage(*SOFTMAX), THREE, "ce_plus_dice")
    assert loss(right, labels, [FULL]) < 0.01
    assert loss(right.roll(1, dims=1), labels, [FULL]) > 5


def test_a_mixed_batch_is_the_mean_of_its_kinds():
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 8, 8)
    labels = torch.randint(0, 2, (3, 8, 8), dtype=torch.uint8) * 3
    loss = stage_loss(stage(*SOFTMAX), THREE, "ce_plus_dice")
    both = loss(logits, labels, [FULL, EFFUSION, FULL])
    full, effusion = loss(logits[::2], labels[::2], [FULL, FULL]), loss(logits[1:2], labels[1:2], [EFFUSION])
    assert both.item() == pytest.approx((2 * full + effusion).item() / 3, rel=1e-5)


def test_without_a_name_the_loss_is_the_papers():
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 4, 8, 8), torch.randint(0, 4, (1, 8, 8), dtype=torch.uint8)
    papers = stage_loss(stage(*SOFTMAX), THREE, None)(logits, labels, [FULL])
    assert papers == pytest.approx(torch.nn.functional.cross_entropy(logits, labels.long()).item(), rel=1e-5)


def test_several_independent_sigmoids_are_refused():
    sigmoids = replace(stage(*SIGMOID), channels=lambda scheme: scheme)
    with pytest.raises(ValueError, match="softmax"):
        marginal_loss(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1), [FULL], stage=sigmoids, scheme=TWO)
