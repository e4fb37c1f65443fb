"""The gate: better on what was held out, no worse on what was known, and why in words."""

import numpy as np
import pytest

from napari_covseg.measure import Agreement, Overlap
from napari_covseg.training.gate import CLASS_MARGIN, MARGIN, ONE_CLASS, judged, table


def agreement(*right, of=100, hd95_mm=5.0, false=0):
    """Slices of 100 voxels of a class, so many of them found."""
    return Agreement(tuple(Overlap(n, false, of - n, 1000) for n in right), hd95_mm, 0.01)


def rows(before, after, name="ggo"):
    return table({name: [agreement(*before)]}, {name: [agreement(*after)]})


def test_the_table_tells_dice_distance_and_millilitres():
    (row,) = table({"ggo": [agreement(50, 50)]}, {"ggo": [agreement(80, 70, hd95_mm=3.0)]})
    assert (row.dice_before, row.dice_after) == (round(200 / 300, 4), round(300 / 350, 4))
    assert (row.hd95_mm_before, row.hd95_mm_after) == (5.0, 3.0)
    assert (row.ml_error_before, row.ml_error_after) == (1.0, 0.5)
    assert row.gain == pytest.approx(row.dice_after - row.dice_before)


def test_too_much_and_too_little_in_two_scans_are_two_errors():
    (row,) = table(
        {"ggo": [agreement(50), agreement(100, false=50)]}, {"ggo": [agreement(100), agreement(100, false=0)]}
    )
    assert (row.ml_error_before, row.ml_error_after) == (1.0, 0.0)


def test_a_steady_gain_has_an_interval_above_zero_and_a_shaky_one_has_not():
    (steady,) = rows([50, 52, 48, 50], [70, 71, 69, 72])
    assert 0 < steady.gain_low <= steady.gain <= steady.gain_high
    (shaky,) = rows([50, 50, 50, 50], [90, 20, 85, 25])
    assert shaky.gain_low < 0 < shaky.gain_high
    assert rows([50, 50], [60, 60])[0].gain_low is None


def test_the_interval_is_the_same_every_time():
    assert rows([50, 40, 30], [60, 70, 20]) == rows([50, 40, 30], [60, 70, 20])


@pytest.mark.parametrize(("after", "promoted"), [([60], True), ([50], False), ([40], False)])
def test_promoted_is_what_is_better(after, promoted):
    verdict = judged(rows([50], after), rows([80], [80]), (1, 1), MARGIN)
    assert (verdict.promoted, verdict.judged) == (promoted, True)
    assert verdict.words.startswith("Better" if promoted else "Not better")


@pytest.mark.parametrize(("drop", "promoted"), [(0.009, True), (0.011, False)])
def test_what_forgets_more_than_the_margin_is_not(drop, promoted):
    kept = 1.0 - drop
    old = table(
        {"ggo": [agreement(100000, of=100000)]}, {"ggo": [agreement(round(kept / (2 - kept) * 1e5), of=100000)]}
    )
    assert old[0].gain == pytest.approx(-drop, abs=2e-4)
    verdict = judged(rows([50], [90]), old, (1, 1), MARGIN)
    assert verdict.promoted is promoted
    assert ("; worse on older cases (Dice of ggo" in verdict.words) is not promoted


@pytest.mark.parametrize(("share", "promoted"), [(0.9, True), (1.1, False)])
def test_a_single_class_may_fall_by_a_few_margins_if_the_others_make_up_for_it(share, promoted):
    def row(name, dice):
        right = round(dice / (2 - dice) * 1e5)  # of voxels found and missed
        return table({name: [agreement(90000, of=100000)]}, {name: [agreement(right, of=100000)]})[0]

    before = 1.8 / 1.9
    fallen, risen = row("effusion", before - share * ONE_CLASS * MARGIN), row("ggo", before + 0.04)
    assert judged(rows([50], [90]), (fallen, risen), (1, 1), MARGIN).promoted is promoted
    assert not judged(rows([50], [90]), (fallen,), (1, 1), MARGIN).promoted


@pytest.mark.parametrize(("loss", "promoted"), [(CLASS_MARGIN / 2, True), (2 * CLASS_MARGIN, False)])
def test_one_class_may_not_pay_for_the_others(loss, promoted):
    paid = table(
        {"effusion": [agreement(9000, of=10000)]}, {"effusion": [agreement(round(9000 - loss * 9000), of=10000)]}
    )
    verdict = judged((*rows([50], [90]), *paid), (), (1, 0), MARGIN)
    assert verdict.promoted is promoted


def test_where_no_lesion_is_held_out_less_marked_in_error_is_better():
    empty = {"ggo": [Agreement((Overlap(0, 50, 0, 1000),), None, 0.01)]}
    less = {"ggo": [Agreement((Overlap(0, 20, 0, 1000),), None, 0.01)]}
    assert judged(table(empty, less), (), (1, 0), MARGIN).promoted
    assert not judged(table(less, empty), (), (1, 0), MARGIN).promoted


def test_a_class_that_is_on_no_older_case_is_not_forgotten():
    gone = table(
        {"effusion": [Agreement((Overlap(0, 5, 0, 9),), None, 1.0)]},
        {"effusion": [Agreement((Overlap(0, 9, 0, 5),), None, 1.0)]},
    )
    assert judged(rows([50], [90]), gone, (1, 1), MARGIN).promoted


def test_with_nothing_held_out_it_says_what_it_cannot_judge():
    verdict = judged((), rows([80], [80]), (0, 1), MARGIN)
    assert (verdict.promoted, verdict.judged) == (False, False)
    assert "cannot be said" in verdict.words
    assert "not worse on older cases" in verdict.words


def test_figures_are_what_json_can_hold():
    import json

    verdict = judged(rows([50, 40, 30], [60, 70, 20]), rows([80], [80]), (3, 1), MARGIN)
    assert json.loads(json.dumps(verdict.figures())) == verdict.figures()
    assert not any(isinstance(value, np.generic) for row in verdict.figures()["held_out"] for value in row.values())
