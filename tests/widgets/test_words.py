from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest

from napari_covseg.jobs import Job, JobRunner, Progress, Run
from napari_covseg.networks import Card
from napari_covseg.volume.presets import LUNG, PRESETS
from napari_covseg.widgets import words
from napari_covseg.widgets.gate_words import headline, reasons, tables
from napari_covseg.widgets.windows import after, preset_of


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0.2, "1 s left"), (59, "59 s left"), (61, "about 1 min left"), (150, "about 2 min left")],
)
def test_time_left(seconds: float | None, said: str) -> None:
    assert words.time_left(seconds) == said


def test_how_far_a_run_is_says_that_nobody_knows_yet_how_long_it_takes() -> None:
    run = Run((_ for _ in ()), "Learning")
    run.started_at = time.monotonic()
    run.take(Progress(0, 14, "measuring", aside=True))
    assert words.how_far(run) == "measuring"
    run.take(Progress(1, 14))
    assert words.how_far(run) == "1 of 14 · working out how long"
    run.pause()
    assert words.how_far(run) == "1 of 14 · paused"
    run.go_on()
    run.take(Progress(2, 14))
    assert words.how_far(run) == "2 of 14 · 1 s left"
    run.take(Progress(2, 14, "measuring", aside=True))
    run.pause()
    assert words.how_far(run) == "paused"  # nothing is measured meanwhile


def test_a_run_waits_for_its_turn_while_another_is_at_work_unless_it_rests() -> None:
    held, runner = threading.Event(), JobRunner()

    def until_held() -> Job[None]:
        held.wait(10)
        yield Progress(1, 1)

    first, second = runner.start(until_held(), "Segmenting"), runner.start(until_held(), "Learning")
    assert [words.waits_for(run, runner) for run in (first, second)] == ["", words.WAITS]
    second.pause()
    assert words.waits_for(second, runner) == ""  # whoever paused it is told that
    held.set()
    runner.wait(first, timeout_s=10)
    second.go_on()
    assert words.waits_for(second, runner) == ""
    runner.close()


@pytest.mark.parametrize(
    ("doing", "said"),
    [
        ("looking over the label map", ""),
        ("looking over the label map of case", ""),
        ("looking at the label map", "looking at the label map"),
    ],
)
def test_how_far_a_run_is_does_not_say_its_title_again(doing: str, said: str) -> None:
    run = Run((_ for _ in ()), "Looking over the label map")
    assert words.how_far(run) == ""
    run.take(Progress(0, 1, doing))
    assert words.how_far(run) == said


def plain(rich: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", rich).replace("&nbsp;", " ").split())


def row(name: str, dice: tuple[float | None, float | None], **more: float | None) -> dict[str, Any]:
    keys = ("hd95_mm_before", "hd95_mm_after", "gain_low", "gain_high")
    none = dict.fromkeys(keys) | {"ml_error_before": 0.0, "ml_error_after": 0.0}
    return {"name": name, "dice_before": dice[0], "dice_after": dice[1]} | none | more


def test_the_tables_say_dice_distance_and_volume_before_and_after_and_the_interval() -> None:
    far = {"hd95_mm_before": 12.34, "hd95_mm_after": None, "ml_error_before": 104.2, "ml_error_after": 2.126}
    taught = [row("ggo", (0.4, 0.55), **far, gain_low=-0.0512, gain_high=0.18), row("effusion", (None, None))]
    gate = {"promoted": False, "judged": True, "slices": 3, "replay_slices": 1, "held_out": taught}
    said = tables({"gate": gate | {"replay": [row("lesion", (0.5, 0.4977))]}})
    assert plain(said) == (
        "On 3 slices it did not learn from Dice HD95 mm mL off "
        "ground-glass Dice +0.150 (−0.051 … +0.180) 0.400 → 0.550 12.3 → – 104 → 2.13 "
        "On 1 slice of older cases Dice HD95 mm mL off opacities Dice −0.002 0.500 → 0.498 – 0.00 → 0.00 "
        "In brackets: the 95 % interval of the change. "
        "–: it cannot be measured, as none of it is there or none is marked."
    )
    near = {"hd95_mm_before": 12.34, "hd95_mm_after": 5.0}
    others = tables({"gate": gate | {"held_out": [row("ggo", (0.4, 0.55), **near)]}})
    assert "brackets" not in others
    assert "cannot be measured" not in others


def test_what_is_marked_where_there_is_none_of_it_is_told_in_millilitres_alone() -> None:
    marked = [row("ggo", (None, None), ml_error_before=1.7, ml_error_after=1.6), row("effusion", (None, None))]
    said = plain(tables({"gate": {"judged": True, "slices": 1, "held_out": marked}}))
    assert "ground-glass – – 1.70 → 1.60" in said
    assert "effusion" not in said


@pytest.mark.parametrize(
    ("replay", "named"), [("synthetic sample", "the bundled sample"), ({"rehearsed": 1, "asked": 2}, "older cases")]
)
def test_what_was_replayed_is_called_what_it_is(replay: object, named: str) -> None:
    gate = {"promoted": False, "judged": True, "words": "Why.", "slices": 1, "replay_slices": 3}
    metrics = {"gate": gate | {"replay": [row("lesion", (0.5, 0.4))]}, "replay": replay}
    assert f"On 3 slices of {named}" in plain(tables(metrics))
    assert plain(reasons(metrics)) == "The old one is recommended. Why."
    odd = {**metrics, "gate": {**metrics["gate"], "words": "<img src=x> & more."}}
    assert "&lt;img src=x&gt; &amp; more." in reasons(odd)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({}, ""),
        ({"promoted": True, "judged": True}, "The new one is recommended."),
        ({"promoted": False, "judged": True}, "The old one is recommended."),
        ({"promoted": False, "judged": False}, "Nobody can say yet whether it is better."),
        ({"promoted": False, "judged": False, "held_out": [{}]}, "Nobody can say yet whether it forgot anything."),
    ],
)
def test_the_headline_says_which_one_to_use(gate: dict[str, Any], said: str) -> None:
    assert headline(gate) == said


def test_what_cannot_be_judged_shows_the_learned_slices_and_says_that_they_say_little() -> None:
    learned = {"before": {"dice_ggo": 0.1}, "after": {"dice_ggo": 0.9}}
    gate = {"promoted": False, "judged": False, "words": "Too few.", "slices": 0, "replay_slices": 0}
    said = tables({"gate": gate, "on_the_learned_slices": learned})
    assert "which says little:<br>ground-glass 0.10 → 0.90" in said
    assert "learned from" not in tables({"gate": gate | {"judged": True}, "on_the_learned_slices": learned})


IN_TURN = "; on 12 in turn, after a shorter training: opacities 0.40"


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({}, ""),
        (
            {"held_out": ["m1"], "held_out_pooled": {"dice_ggo": 0.5, "dice_lesion": 0.712}},
            "Dice on 1 patient it never saw: opacities 0.71, ground-glass 0.50",
        ),
        (
            {"cross_validated": {"pooled": {"dice_lesion": 0.7}, "patients": 12, "steps": 800}},
            "Dice of the same recipe on patients it never saw: opacities 0.70",
        ),
        (
            {
                "sibling": {"held_out": ["m1", "m2"], "held_out_pooled": {"dice_lesion": 0.77}},
                "cross_validated": {"pooled": {"dice_lesion": 0.4}, "patients": 12, "steps": 800},
            },
            "Dice of the same recipe on 2 patients it never saw: opacities 0.77" + IN_TURN,
        ),
    ],
)
def test_what_a_network_reached_is_told_with_whom_it_was_measured_on(metrics: dict[str, Any], said: str) -> None:
    card = Card(network="res_att_unet", width="compact", scheme=("ggo",), trained_on="nothing", metrics=metrics)
    assert words.measured_dice(card) == said


def test_windows_come_in_turn_and_any_other_window_is_none() -> None:
    assert LUNG.limits_hu == (-1350, 150)
    assert [after(preset) for preset in PRESETS] == [*PRESETS[1:], PRESETS[0]]
    assert preset_of((-1350, 150)) is LUNG
    assert preset_of((-1000, 150)) is None
    assert after(None) is LUNG
