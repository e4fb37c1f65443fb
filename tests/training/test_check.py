"""The check of a training: a small sample, the same every time, of slices that say something."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_covseg.networks import load
from napari_covseg.training.check import CHECK_SAMPLES, check_sample, held_out_check
from napari_covseg.training.config import TrainingConfig
from napari_covseg.training.stacks import HEALTHY_LUNG, IGNORED

THREE = ("ggo", "consolidation", "effusion")
CONFIG = TrainingConfig(steps=5, batch=4, crop=32)
SPEC = load("res_att_unet")
(STAGE,) = SPEC.stages


def labels_of(depth, bearing, looked_at=None):
    labels = np.zeros((depth, 32, 32), np.uint8)
    labels[list(bearing), 8:20, 8:20] = 1
    if looked_at is not None:
        labels[[k for k in range(depth) if k not in looked_at]] = IGNORED
    return labels


def test_a_sample_is_even_over_patients_and_holds_slices_with_a_lesion(make_stack):
    large = make_stack(labels_of(60, range(20, 50)), case="a", patient="a")
    small = make_stack(labels_of(4, (2,)), case="b", patient="b")
    sample = check_sample([large, small], SPEC)
    assert {patient: sum(s.patient == patient for s in sample) for patient in "ab"} == {"a": CHECK_SAMPLES // 2, "b": 1}
    assert all((stack.labels == 1).any() for stack in sample)


def test_many_patients_do_not_make_it_large(make_stack):
    stacks = [make_stack(labels_of(2, (0,)), case=str(n), patient=str(n)) for n in range(40)]
    assert len(check_sample(stacks, SPEC)) == CHECK_SAMPLES


def test_a_slice_nobody_looked_at_is_no_sample(make_stack):
    stack = make_stack(labels_of(3, (1,), looked_at=(1,)))
    assert len(check_sample([stack], SPEC)) == 1


def test_the_same_network_has_the_same_loss_and_a_better_one_less(make_stack):
    check = held_out_check([make_stack(labels_of(3, (0, 1)))], SPEC, STAGE, THREE, CONFIG, torch.device("cpu"))
    network = nn.Conv2d(1, 4, 1)
    with torch.no_grad():
        network.weight.zero_()
        network.bias.zero_()
        indifferent = check(network)
        network.weight[1], network.bias[0] = 30.0, 3.0  # bright is ground glass, as the stack's grey has it
    assert check(network) == check(network) < indifferent


@pytest.mark.parametrize(("annotated", "says"), [({"effusion"}, False), ({"infection"}, True)])
def test_what_nobody_looked_for_is_no_check(make_stack, annotated, says):
    sample = [make_stack(labels_of(2, (0,)), annotated)]
    infection = ("infection",)
    check = held_out_check(sample, load("masc_net"), load("masc_net").stages[0], infection, CONFIG, torch.device("cpu"))
    assert (check is not None) is says


def lung_check(sample):
    spec = load("chs_net")
    return held_out_check(sample, spec, spec.stages[0], THREE, CONFIG, torch.device("cpu"))


def test_effusion_without_a_lung_mask_judges_no_lung_stage(make_stack):
    labels = np.where(labels_of(2, (0,)) == 1, 3, 0)
    assert lung_check([make_stack(labels, {"effusion"}), make_stack(labels, patient="q")]) is None


def test_who_finds_a_lung_everywhere_is_judged_by_those_with_a_lung_mask_alone(make_stack):
    labels = np.where(labels_of(2, (0, 1)) == 1, 3, 0)
    masked = make_stack(np.where(labels == 3, HEALTHY_LUNG, 0), {"infection", "lung"}, patient="m")
    everywhere = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        everywhere.weight.zero_()
        everywhere.bias.fill_(9.0)
    alone = lung_check([masked])(everywhere)
    assert alone > 2
    assert lung_check([make_stack(labels, {"effusion"}), masked, make_stack(labels, patient="q")])(everywhere) == alone
