"""Paired differences: the mean by hand, the interval where it can be known."""

import numpy as np
import pytest

from napari_covseg.measure import paired_difference


def test_the_mean_by_hand():
    found = paired_difference([0.5, 0.7, 0.9], [0.4, 0.8, 0.6])
    assert found.mean == pytest.approx((0.1 - 0.1 + 0.3) / 3)
    assert (found.cases, found.patients) == (3, 3)
    assert found.low <= found.mean <= found.high


def test_a_constant_difference_leaves_no_doubt():
    found = paired_difference([0.5, 0.7, 0.9], [0.25, 0.45, 0.65])
    assert (found.low, found.high) == pytest.approx((0.25, 0.25))


def test_the_interval_of_many_cases_is_the_normal_one():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.1, 1, 400), np.zeros(400)
    found = paired_difference(a, b)
    half = 1.96 * a.std() / np.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_the_same_seed_gives_the_same_interval():
    a, b = np.random.default_rng(0).random((2, 10))
    assert paired_difference(a, b, seed=3) == paired_difference(a, b, seed=3)
    assert paired_difference(a, b, seed=3).low != paired_difference(a, b, seed=4).low


def test_first_and_second_change_the_sign():
    a, b = np.random.default_rng(0).random((2, 10))
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))


def test_many_slices_of_few_patients_are_few():
    """Slices of one patient say the same: drawn by patient the interval stays wide."""
    patients = ["p1"] * 50 + ["p2"] * 50
    a = [0.4] * 50 + [0.0] * 50
    b = [0.0] * 100
    by_patient, by_slice = paired_difference(a, b, patients), paired_difference(a, b)
    assert by_patient.patients == 2
    assert (by_patient.low, by_patient.high) == pytest.approx((0.0, 0.4))
    assert by_slice.high < 0.3


def test_patients_are_drawn_with_all_of_their_cases():
    """With p1 drawn alone the mean is that of its three cases; the whole mean weighs cases, not patients."""
    found = paired_difference([0.3, 0.3, 0.3, 0.7], [0.0] * 4, ["p1", "p1", "p1", "p2"])
    assert found.mean == pytest.approx(0.4)
    assert (found.low, found.high) == pytest.approx((0.3, 0.7))


def test_one_patient_gives_no_interval_and_none_gives_nothing():
    found = paired_difference([0.5, 0.7], [0.4, 0.4], ["p1", "p1"])
    assert (found.low, found.high, found.patients) == (None, None, 1)
    assert paired_difference([], []) is None


def test_lists_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        paired_difference([0.1], [0.1, 0.2])
    with pytest.raises(ValueError, match="one length"):
        paired_difference([0.1], [0.1], ["p1", "p2"])
