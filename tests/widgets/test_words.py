from __future__ import annotations

import re
import time
from typing import Any

import pytest

from napari_covseg.jobs import Progress, Run
from napari_covseg.networks import Card
from napari_covseg.widgets import words
from napari_covseg.widgets.gate_words import told
from napari_covseg.widgets.windows import LUNG, PRESETS, after, preset_of


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


def test_a_table_says_what_was_before_and_after_and_the_verdict_why() -> None:
    rows = [
        {"name": "ggo", "dice_before": 0.4, "dice_after": 0.55},
        {"name": "effusion", "dice_before": None, "dice_after": None},
    ]
    gate = {"promoted": False, "judged": True, "words": "Dice fell.", "slices": 3, "replay_slices": 1, "held_out": rows}
    said = told({"gate": gate | {"replay": [{"name": "lesion", "dice_before": 0.5, "dice_after": 0.41}]}})
    plain = " ".join(re.sub("<[^>]+>", " ", said).split())
    assert plain == (
        "Not better than the one before. Dice fell. Dice on 3 slices it did not learn from before after "
        "ground-glass 0.40 0.55 +0.15 effusion – – "
        "Dice on 1 slice of older cases before after opacities 0.50 0.41 −0.09"
    )


def test_what_cannot_be_judged_shows_the_learned_slices_and_says_that_they_say_little() -> None:
    learned = {"before": {"dice_ggo": 0.1}, "after": {"dice_ggo": 0.9}}
    gate = {"promoted": False, "judged": False, "words": "Too few.", "slices": 0, "replay_slices": 0}
    said = told({"gate": gate, "on_the_learned_slices": learned})
    assert "Nobody can say yet" in said
    assert "which says little:<br>ground-glass 0.10 → 0.90" in said
    assert "learned from" not in told({"gate": gate | {"judged": True}, "on_the_learned_slices": learned})


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({}, ""),
        (
            {"held_out_pooled": {"dice_ggo": 0.5, "dice_lesion": 0.712}},
            "Dice on patients it never saw: opacities 0.71, gr",
        ),
        (
            {"cross_validated_pooled": {"dice_lesion": 0.7}},
            "Dice of the same recipe on patients it never",
        ),
    ],
)
def test_what_a_network_reached_is_told_with_whom_it_was_measured_on(metrics: dict[str, Any], said: str) -> None:
    card = Card(network="res_att_unet", width="compact", scheme=("ggo",), trained_on="nothing", metrics=metrics)
    assert words.measured_dice(card).startswith(said)
    assert bool(words.measured_dice(card)) is bool(said)


def test_windows_come_in_turn_and_any_other_window_is_none() -> None:
    assert LUNG.limits_hu == (-1350, 150)
    assert [after(preset) for preset in PRESETS] == [*PRESETS[1:], PRESETS[0]]
    assert preset_of((-1350, 150)) is LUNG
    assert preset_of((-1000, 150)) is None
    assert after(None) is LUNG
