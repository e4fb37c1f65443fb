"""The gate: better on what was held out, no worse on what was known, and why in words."""

from dataclasses import replace

import numpy as np
import pytest

from napari_covseg.measure import Agreement, Overlap
from napari_covseg.training.comparison import Row, table
from napari_covseg.training.gate import CLASS_MARGIN, LEAST_GAIN, LEAST_ML, MARGIN, ONE_CLASS, judged, surely_fell


def agreement(*right, of=100, hd95_mm=5.0, false=0):
    """Slices of 100 voxels of a class, so many of them found."""
    return Agreement(tuple(Overlap(n, false, of - n, 1000) for n in right), hd95_mm, 0.01)


def rows(before, after, name="ggo"):
    return table({name: [agreement(*before)]}, {name: [agreement(*after)]})


OLD = rows([80], [80])


def test_the_table_tells_dice_distance_and_millilitres():
    (row,) = table({"ggo": [agreement(50, 50)]}, {"ggo": [agreement(80, 70, hd95_mm=3.0)]})
    assert (row.dice_before, row.dice_after) == (round(200 / 300, 4), round(300 / 350, 4))
    assert (row.hd95_mm_before, row.hd95_mm_after) == (5.0, 3.0)
    assert (row.ml_error_before, row.ml_error_after) == (1.0, 0.5)
    assert row.gain == pytest.approx(row.dice_after - row.dice_before)


@pytest.mark.parametrize("after", [0, 20])
def test_where_there_is_none_of_a_class_the_table_tells_millilitres_and_no_dice(after):
    (row,) = table({"ggo": [agreement(0, of=0, false=50)]}, {"ggo": [agreement(0, of=0, false=after)]})
    assert (row.dice_before, row.dice_after) == (None, None)
    assert (row.ml_error_before, row.ml_error_after) == (0.5, after / 100)


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
    old = table({"ggo": [agreement(10**6, of=10**6)]}, {"ggo": [agreement(round(kept / (2 - kept) * 1e6), of=10**6)]})
    assert old[0].gain == pytest.approx(-drop, abs=2e-4)
    verdict = judged(rows([50], [90]), old, (1, 1), MARGIN)
    assert verdict.promoted is promoted
    assert ("; worse on older cases (ground-glass; " in verdict.words) is not promoted


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
        {"effusion": [agreement(90000, of=10**5)]}, {"effusion": [agreement(round(9e4 - loss * 9e4), of=10**5)]}
    )
    risen = table({"ggo": [agreement(50000, of=10**5)]}, {"ggo": [agreement(90000, of=10**5)]})
    verdict = judged((*risen, *paid), OLD, (1, 1), MARGIN)
    assert verdict.promoted is promoted


@pytest.mark.parametrize(
    ("after", "surely"), [([40, 41, 39, 40], True), ([48, 47, 52, 49], False), ([90, 10, 80, 20], False), ([20], True)]
)
def test_a_fall_is_sure_when_its_whole_interval_is_below_the_margin(after, surely):
    assert surely_fell(rows([50] * len(after), after), MARGIN) is surely


def test_where_no_lesion_is_held_out_less_marked_in_error_is_better():
    empty = {"ggo": [Agreement((Overlap(0, 50, 0, 1000),), None, 0.01)]}
    less = {"ggo": [Agreement((Overlap(0, 20, 0, 1000),), None, 0.01)]}
    assert judged(table(empty, less), OLD, (1, 1), MARGIN).promoted
    assert not judged(table(less, empty), OLD, (1, 1), MARGIN).promoted


def test_a_class_that_is_on_no_older_case_is_not_forgotten():
    gone = table(
        {"effusion": [Agreement((Overlap(0, 5, 0, 9),), None, 1.0)]},
        {"effusion": [Agreement((Overlap(0, 7, 0, 5),), None, 1.0)]},
    )
    assert judged(rows([50], [90]), (*gone, *OLD), (1, 1), MARGIN).promoted


def test_what_no_older_case_was_asked_about_is_not_promoted_however_good_it_is():
    healthy = table({"ggo": [false_alarm(0.5)]}, {"ggo": [false_alarm(0.4)]})
    for older in ((), healthy):
        better, worse = (judged(rows([50], [after]), older, (1, 1), MARGIN) for after in (90, 40))
        assert (better.promoted, better.judged, worse.promoted, worse.judged) == (False, False, False, True)
        assert better.words.startswith("No older case at hand shows a lesion that would tell whether it forgot any. Be")
        assert "; no older case at hand shows a lesion" in worse.words


def test_with_nothing_held_out_it_says_what_it_cannot_judge():
    verdict = judged((), rows([80], [80]), (0, 1), MARGIN)
    assert (verdict.promoted, verdict.judged) == (False, False)
    assert "cannot be said" in verdict.words
    assert "not worse on older cases" in verdict.words
    assert "and learn again. Whether" in verdict.words
    assert "aside to judge by: why. Whether" in judged((), (), (0, 0), MARGIN, nobody="why").words


def test_figures_are_what_json_can_hold():
    import json

    verdict = judged(rows([50, 40, 30], [60, 70, 20]), rows([80], [80]), (3, 1), MARGIN)
    assert json.loads(json.dumps(verdict.figures())) == verdict.figures()
    assert not any(isinstance(value, np.generic) for row in verdict.figures()["held_out"] for value in row.values())


def fallen(before, after, of, slices=1, name="consolidation"):
    """A class of so many voxels on each of some slices, of which so many were found before and after."""
    return table({name: [agreement(*[before] * slices, of=of)]}, {name: [agreement(*[after] * slices, of=of)]})


GGO = table({"ggo": [agreement(90000, of=100000)]}, {"ggo": [agreement(90000, of=100000)]})


def test_a_fall_on_a_handful_of_voxels_is_told_but_does_not_veto():
    """Dice of consolidation −0.11 on 250 voxels of one slice."""
    few = fallen(175, 140, of=250)
    assert -0.12 < few[0].gain < -0.1
    verdict = judged(rows([50], [90]), (*GGO, *few), (1, 4), MARGIN)
    assert verdict.promoted
    assert "not worse on older cases (consolidation seems worse, on too little of it to tell)" in verdict.words


@pytest.mark.parametrize(("of", "slices"), [(5000, 1), (250, 40)])
def test_the_same_fall_on_many_voxels_vetoes(of, slices):
    many = fallen(round(0.7 * of), round(0.56 * of), of, slices)
    verdict = judged(rows([50], [90]), (*GGO, *many), (1, 4), MARGIN)
    assert not verdict.promoted
    assert "; worse on older cases (consolidation)." in verdict.words


def test_a_class_that_is_lost_vetoes_however_small_it_was():
    assert not judged(rows([50], [90]), (*GGO, *fallen(60, 0, of=80)), (1, 4), MARGIN).promoted


@pytest.mark.parametrize(("after", "promoted"), [([125, 130, 128, 126, 124], False), ([190, 90, 185, 80, 100], True)])
def test_a_fall_of_few_voxels_vetoes_where_every_slice_shows_it(after, promoted):
    """Five slices of 200 voxels: each a little worse, or some much worse and some better."""
    old = {"consolidation": [agreement(*[145] * 5, of=200)]}
    (few,) = table(old, {"consolidation": [agreement(*after, of=200)]})
    assert few.gain < -ONE_CLASS * MARGIN
    assert (few.gain_high < 0) is not promoted
    assert judged(rows([50], [90]), (*GGO, few), (1, 4), MARGIN).promoted is promoted


def test_a_gain_on_a_handful_of_voxels_does_not_make_up_for_a_loss_on_many():
    held_out = (*fallen(5, 25, of=30, name="effusion"), *fallen(8000, 7900, of=10000, name="ggo"))
    assert held_out[0].gain > 0.3
    assert not judged(held_out, OLD, (1, 1), MARGIN).promoted


def test_any_lesion_is_held_to_its_margin_however_few_voxels_there_are():
    few = fallen(175, 140, of=250, name="lesion")
    assert not judged(rows([50], [90]), few, (1, 4), MARGIN).promoted
    assert not judged((*few, *rows([50], [90])), OLD, (1, 1), MARGIN).promoted


def test_an_interval_needs_three_slices_that_show_the_class():
    two = {"ggo": [Agreement((*agreement(50, 60).per_slice, Overlap(0, 5, 0, 1000), Overlap(0, 0, 0, 1000)), None, 1)]}
    assert table(two, two)[0].gain_low is None
    assert rows([50, 60, 70], [50, 60, 70])[0].gain_low == 0


def test_the_outline_of_a_disc_half_a_voxel_beside_on_twice_its_length_is_what_a_class_may_fall_by():
    rng = np.linspace(-60, 60, 241)
    distance = np.hypot(*np.meshgrid(rng, rng))
    disc, wider = distance <= 40, distance <= 41  # one voxel of a disc's outline is half a voxel of one twice as long
    inside, extra = int(disc.sum()) / 4, int((wider & ~disc).sum()) / 4
    (row,) = fallen(round(inside), round(inside), of=round(inside))
    assert row.outline == pytest.approx(1 - 2 * inside / (2 * inside + extra), rel=0.1)


@pytest.mark.parametrize(("after_ml", "promoted"), [(4.5, True), (9.6, False)])
def test_what_is_marked_where_there_is_none_of_it_counts(after_ml, promoted):
    def none(before_ml, after_ml):
        return table({"effusion": [false_alarm(before_ml)]}, {"effusion": [false_alarm(after_ml)]})

    better = rows([50], [90])
    here = judged((*better, *none(4.0, after_ml)), rows([80], [80]), (1, 1), MARGIN)
    there = judged(better, (*rows([80], [80]), *none(4.0, after_ml)), (1, 1), MARGIN)
    only_there = judged(better, none(4.0, after_ml), (1, 1), MARGIN)
    assert [here.promoted, there.promoted, only_there.judged] == [promoted, promoted, not promoted]
    assert not only_there.promoted  # on older cases without a lesion it may be found worse, but not to have kept any
    for verdict in (here, there, only_there):
        assert ("marks effusion where there is none, 4.0 → 9.6 mL" in verdict.words) is not promoted


def false_alarm(ml):
    return Agreement((Overlap(0, round(100 * ml), 0, 1000),), None, 0.01)


def test_a_class_that_surely_fell_a_little_is_told_though_it_may():
    fallen = table(
        {"consolidation": [agreement(*[9000] * 8, of=10000)]}, {"consolidation": [agreement(*[8700] * 8, of=10000)]}
    )
    risen = table({"ggo": [agreement(50000, of=10**5)]}, {"ggo": [agreement(60000, of=10**5)]})
    verdict = judged(rows([50], [90]), (*fallen, *risen), (1, 9), MARGIN, "the bundled sample")
    assert verdict.promoted
    told = "; not worse on the bundled sample (a little worse in consolidation, as a single class may be)."
    assert told in verdict.words


def row(name, dice, ml=(0, 0), voxels=9000, interval=(None, None)):
    return Row(name, *dice, None, None, *ml, *interval, voxels)


@pytest.mark.parametrize(("gain", "promoted"), [(0.0001, False), (LEAST_GAIN - 0.001, False), (LEAST_GAIN, True)])
def test_better_takes_a_least_gain(gain, promoted):
    verdict = judged((row("ggo", (0.8, 0.8 + gain), interval=(0.00005, 0.05)),), OLD, (9, 1), MARGIN)
    assert verdict.promoted is promoted
    assert verdict.words.startswith("Better" if promoted else "Hardly better")


@pytest.mark.parametrize(
    ("low", "told"),
    [(-0.02, ", within what chance would give"), (0.01, ""), (None, ", on too few slices to tell it from chance")],
)
def test_a_gain_that_may_be_chance_is_called_so(low, told):
    high = None if low is None else 0.2
    better = row("ggo", (0.6, 0.7), interval=(low, high))
    verdict = judged((row("lesion", (0.6, 0.7), interval=(low, high)), better), OLD, (9, 1), MARGIN)
    assert verdict.promoted
    assert verdict.words.startswith(f"Better on your corrected slices that it did not learn from{told};")


@pytest.mark.parametrize(("low", "is_sure"), [(-0.01, True), (-0.21, False)])
def test_a_class_weighs_as_its_voxels_in_what_may_be_chance_too(low, is_sure):
    many, few = row("ggo", (0.6, 0.7), interval=(0.02, 0.2)), row("effusion", (0.6, 0.7), voxels=900)
    few = replace(few, gain_low=low, gain_high=0.3)
    assert ("chance" not in judged((many, few), OLD, (9, 1), MARGIN).words) is is_sure


def test_what_is_marked_in_error_is_counted_once_over_the_classes():
    nothing = {"voxels": 0, "ml": (1.0, 0.5)}
    verdict = judged((row("lesion", (0, 0), **nothing), row("ggo", (0, 0), **nothing)), OLD, (3, 1), MARGIN)
    assert "marked there in error: 1.0 → 0.5 mL" in verdict.words


@pytest.mark.parametrize(
    ("before_ml", "after_ml", "promoted"),
    [(1.0, 0.999, False), (0.5, 0.41, False), (0.5, 0.5 - LEAST_ML, True), (50.0, 46.0, False), (50.0, 45.0, True)],
)
def test_where_no_lesion_is_so_much_less_must_be_marked(before_ml, after_ml, promoted):
    quieter = row("ggo", (0, 0), (before_ml, after_ml), voxels=0)
    assert judged((quieter,), OLD, (3, 1), MARGIN).promoted is promoted


def test_less_of_one_class_does_not_pay_for_another_that_is_invented():
    less, more = row("ggo", (0, 0), (5.0, 1.0), voxels=0), row("effusion", (None, 0), (0.0, 2.0), voxels=0)
    verdict = judged((less, more), OLD, (3, 1), MARGIN)
    assert not verdict.promoted
    assert "5.0 → 3.0 mL; it marks effusion where there is none, 0.0 → 2.0 mL" in verdict.words


@pytest.mark.parametrize(("after", "promoted"), [(0.0, False), (0.02, True)])
def test_a_class_that_is_wholly_lost_vetoes_whatever_it_was_before(after, promoted):
    lost = row("consolidation", (0.15, after), voxels=60)
    rest = (row("lesion", (0.8, 0.81)), row("ggo", (0.8, 0.82)))
    assert judged((*rest, lost), OLD, (3, 1), MARGIN).promoted is promoted
    assert judged(rest, (*GGO, lost), (3, 3), MARGIN).promoted is promoted


@pytest.mark.parametrize("name", ["lesion", "consolidation"])
@pytest.mark.parametrize(
    ("high", "promoted", "told"), [(-0.011, False, False), (-0.01, True, True), (0.0, True, False)]
)
def test_what_is_surely_worse_vetoes_beyond_the_margin_and_is_told_below_it(name, high, promoted, told):
    fallen = row(name, (0.8, 0.785), interval=(-0.02, high))
    verdict = judged((row("ggo", (0.5, 0.6), interval=(0.05, 0.15)), fallen), OLD, (9, 1), MARGIN)
    assert verdict.promoted is promoted
    assert ("(a little worse in " in verdict.words) is told


@pytest.mark.parametrize(
    ("before_mm", "after_mm", "told"), [(19.2, 135.0, "HD95 19 → 135 mm"), (19.2, 28.0, ""), (100.0, 140.0, "")]
)
def test_errors_that_lie_much_further_off_are_told_though_dice_rose(before_mm, after_mm, told):
    further = replace(row("ggo", (0.8, 0.9)), hd95_mm_before=before_mm, hd95_mm_after=after_mm)
    near = replace(row("effusion", (0.8, 0.9)), hd95_mm_before=3.0, hd95_mm_after=4.0)
    for held_out, older in (((further, near), OLD), ((near,), (further,))):
        verdict = judged(held_out, older, (9, 9), MARGIN)
        assert verdict.promoted
        assert ("lie further off" in verdict.words) is bool(told)
        assert told in verdict.words


@pytest.mark.parametrize(
    ("before_ml", "after_ml", "told"), [(0.4, 16.1, "0.4 → 16.1 mL"), (0.4, 2.4, ""), (10.0, 15.0, ""), (10.0, 5.0, "")]
)
def test_a_volume_that_is_off_by_much_more_is_told_though_dice_rose(before_ml, after_ml, told):
    off = row("consolidation", (0.8, 0.9), (before_ml, after_ml))
    others = (row("lesion", (0.8, 0.9), (14.1, 14.0 + after_ml - before_ml)), row("ggo", (0.8, 0.9), (3.0, 4.0)))
    for held_out, older in (((*others, off), OLD), (others[1:], (*others, off))):
        verdict = judged(held_out, older, (9, 9), MARGIN)
        assert verdict.promoted
        assert ("is off by more" in verdict.words) is bool(told)
        assert (f"the volume of consolidation is off by more, {told}" in verdict.words) is bool(told)


def test_what_is_marked_where_there_is_none_of_it_is_told_once():
    verdict = judged(rows([50], [90]), (row("effusion", (None, 0), (0.0, 9.0), voxels=0), *GGO), (1, 9), MARGIN)
    assert "marks effusion where there is none" in verdict.words
    assert "is off by more" not in verdict.words
