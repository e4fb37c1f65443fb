"""Three averages of the same cases, each worked out by hand, and no two alike."""

import pytest

from napari_covseg.measure import Overlap, case_mean, false_alarm, pooled, slice_mean
from napari_covseg.measure.agreement import Agreement

LARGE = Agreement((Overlap(80, 10, 10, 100), Overlap(0, 10, 0, 190)), 4.0, 0.5)
SMALL = Agreement((Overlap(1, 0, 3, 46), Overlap(1, 0, 0, 49)), 10.0, 0.5)
MISSED = Agreement((Overlap(0, 0, 4, 46),), None, 0.5)
WITHOUT = Agreement((Overlap(0, 6, 0, 44),), None, 0.5)
CLEAN = Agreement((Overlap(0, 0, 0, 50),), None, 0.5)
ALL = (LARGE, SMALL, MISSED, WITHOUT, CLEAN)


def test_pooled_counts_every_voxel_of_every_case():
    counts = pooled(ALL)
    assert counts == Overlap(82, 26, 17, 525)
    assert counts.dice == pytest.approx(164 / 207)


def test_case_mean_counts_the_cases_that_contain_the_class():
    mean = case_mean(ALL)
    assert mean.count == 3
    assert mean.scores["dice"] == pytest.approx((160 / 190 + 4 / 7 + 0) / 3)
    assert mean.scores["sensitivity"] == pytest.approx((80 / 90 + 2 / 5 + 0) / 3)


def test_a_score_that_is_not_defined_is_left_out_and_counted():
    mean = case_mean(ALL)
    assert mean.scores["precision"] == pytest.approx((80 / 100 + 1) / 2)
    assert mean.scores["hd95_mm"] == pytest.approx(7.0)
    assert mean.not_defined == {"precision": 1, "hd95_mm": 1}


def test_the_other_cases_give_false_positive_millilitres():
    alarm = false_alarm(ALL)
    assert (alarm.count, alarm.mean_ml) == (2, pytest.approx(6 * 0.5 / 2))


def test_slice_mean_counts_the_slices_that_contain_the_class():
    mean = slice_mean(ALL)
    assert mean.count == 4
    assert mean.scores["dice"] == pytest.approx((160 / 180 + 2 / 5 + 1 + 0) / 4)
    assert mean.not_defined == {"precision": 1}
    assert "hd95_mm" not in mean.scores


def test_f_score_is_dice_however_averaged():
    for scores in (pooled(ALL).scores(), case_mean(ALL).scores, slice_mean(ALL).scores):
        assert scores["f_score"] == scores["dice"]


def test_without_the_class_there_is_no_mean_and_never_a_one():
    mean = case_mean((WITHOUT, CLEAN))
    assert mean.count == 0
    assert set(mean.scores.values()) == {None}
    assert slice_mean((WITHOUT, CLEAN)).scores["dice"] is None
    assert pooled((CLEAN,)).dice is None
    assert pooled((WITHOUT,)).dice == 0


def test_with_the_class_everywhere_there_is_no_false_alarm():
    alarm = false_alarm((LARGE, SMALL))
    assert (alarm.count, alarm.mean_ml) == (0, None)
