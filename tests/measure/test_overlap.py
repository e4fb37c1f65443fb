"""Counts and the scores they give, against figures worked out by hand and MONAI's."""

import numpy as np
import pytest
import torch
from monai.metrics import ConfusionMatrixMetric, DiceMetric

from napari_covseg.measure import SCORES, Overlap, overlap

ALL_RIGHT = dict.fromkeys(SCORES, 1.0) | {"mae": 0.0}
MONAIS = {
    "jaccard": "threat score",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f_score": "f1 score",
    "accuracy": "accuracy",
}


def masks(seed, shape=(4, 12, 10), density=0.3):
    return np.random.default_rng(seed).random((2, *shape)) < density


def one_hot(mask):
    return torch.tensor(mask)[None, None].float()


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_monais(seed):
    a, b = masks(seed)
    found = overlap(a, b).scores()
    assert found["dice"] == pytest.approx(DiceMetric()(one_hot(a), one_hot(b)).item())
    for ours, theirs in MONAIS.items():
        metric = ConfusionMatrixMetric(metric_name=theirs)
        metric(one_hot(a), one_hot(b))
        assert found[ours] == pytest.approx(metric.aggregate()[0].item()), ours
    assert found["mae"] == pytest.approx(np.abs(a.astype(float) - b).mean())


def test_scores_by_hand():
    """Ten voxels: 3 hits, 1 false alarm, 2 misses, 4 left alone."""
    mask = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    reference = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0], bool)
    counts = overlap(mask, reference)
    assert counts == Overlap(3, 1, 2, 4)
    assert counts.scores() == pytest.approx(
        {
            "dice": 6 / 9,
            "jaccard": 3 / 6,
            "sensitivity": 3 / 5,
            "specificity": 4 / 5,
            "precision": 3 / 4,
            "f_score": 2 * 0.75 * 0.6 / (0.75 + 0.6),
            "accuracy": 7 / 10,
            "mae": 3 / 10,
        }
    )


def test_a_perfect_proposal_and_its_opposite():
    a, _ = masks(0)
    assert overlap(a, a).scores() == ALL_RIGHT
    assert overlap(a, ~a).scores() == dict.fromkeys(SCORES, 0.0) | {"mae": 1.0}


def test_counts_add_up_to_the_pooled_counts():
    a, b = masks(1)
    assert sum((overlap(x, y) for x, y in zip(a, b, strict=True)), Overlap()) == overlap(a, b)
    assert overlap(a, b).voxels == a.size


def test_empty_against_empty_is_no_score():
    nothing = np.zeros((2, 3), bool)
    found = overlap(nothing, nothing)
    undefined = ("dice", "jaccard", "sensitivity", "precision", "f_score")
    assert found.scores() == {name: None if name in undefined else ALL_RIGHT[name] for name in SCORES}
    assert not found.is_present


def test_one_empty_side_is_a_zero_not_a_gap():
    some = np.array([[True, False]])
    missed, false_alarm = overlap(~some & some, some), overlap(some, some & ~some)
    assert (missed.dice, missed.sensitivity, missed.precision, missed.f_score) == (0, 0, None, 0)
    assert (false_alarm.dice, false_alarm.sensitivity, false_alarm.precision) == (0, None, 0)
    assert (missed.is_present, false_alarm.is_present) == (True, False)


def test_a_full_field_has_no_specificity():
    everywhere = np.ones(4, bool)
    assert overlap(everywhere, everywhere).specificity is None
    assert Overlap().scores() == dict.fromkeys(SCORES)
