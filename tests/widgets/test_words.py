from __future__ import annotations

import pytest

from napari_covseg.widgets import words
from napari_covseg.widgets.windows import LUNG, PRESETS, after, preset_of


@pytest.mark.parametrize(
    ("indices", "said"), [((), ""), ((11,), "12"), ((11, 39, 40, 41), "12, 40–42"), ((0, 1), "1–2")]
)
def test_slices_are_counted_from_one_and_runs_drawn_together(indices: tuple[int, ...], said: str) -> None:
    assert words.slice_numbers(indices) == said


@pytest.mark.parametrize(("seconds", "said"), [(None, ""), (0.2, "1 s left"), (59, "59 s left"), (61, "1:01 left")])
def test_time_left(seconds: float | None, said: str) -> None:
    assert words.time_left(seconds) == said


@pytest.mark.parametrize(
    ("before", "after_", "said"),
    [
        ({"dice_ggo": 0.4}, {"dice_ggo": 0.6}, "Better on ground-glass, worse on none."),
        ({"dice_ggo": 0.6}, {"dice_ggo": 0.4}, "Worse on ground-glass."),
        (
            {"dice_lesion": 0.6, "dice_ggo": 0.1, "dice_effusion": 0.1},
            {"dice_lesion": 0.4, "dice_ggo": 0.2, "dice_effusion": 0.2},
            "Worse on opacities, better on ground-glass and effusion.",
        ),
        ({"dice_ggo": 0.5}, {"dice_ggo": 0.502}, "No different on the learned slices."),
        ({}, {}, "Nothing could be compared: the learned slices hold no lesion."),
    ],
)
def test_the_verdict_says_what_became_better_and_what_worse(
    before: dict[str, float], after_: dict[str, float], said: str
) -> None:
    assert words.verdict({"on_the_learned_slices": {"before": before, "after": after_}}) == said


def test_things_in_a_row() -> None:
    assert [words.listed(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_windows_come_in_turn_and_any_other_window_is_none() -> None:
    assert LUNG.limits_hu == (-1350, 150)
    assert [after(preset) for preset in PRESETS] == [*PRESETS[1:], PRESETS[0]]
    assert preset_of((-1350, 150)) is LUNG
    assert preset_of((-1000, 150)) is None
    assert after(None) is LUNG
