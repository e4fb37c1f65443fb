"""What the panels say, in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_covseg.io.sentences import count
from napari_covseg.jobs import JobRunner, Run
from napari_covseg.networks import Card
from napari_covseg.review import ReviewSession
from napari_covseg.volume import LESIONS, SHORT_TITLES, Volume

MINUTE_S = 60
PACING = "working out how long"
FINISHING = "finishing: judging the best"
WAITS = "waits for its turn"


def scan_line(scan: Volume) -> str:
    """Return what was opened, in one line; the scan is in reading order."""
    slices, rows, columns = scan.geometry.shape
    between_mm, row_mm, column_mm = scan.geometry.spacing_mm
    low, high = round(float(scan.hu.min())), round(float(scan.hu.max()))
    return (
        f"CT, {slices} slices of {columns}×{rows}, {column_mm:.1f}×{row_mm:.1f}×{between_mm:.1f} mm, "
        f"{signed(low)}…{signed(high)} HU"
    )


def signed(number: int) -> str:
    """Return a whole number with a true minus sign."""
    return f"−{-number}" if number < 0 else str(number)


def clock(moment: datetime | None) -> str:
    """Return the local time of day."""
    return moment.astimezone().strftime("%H:%M:%S") if moment else ""


def saved_line(session: ReviewSession | None) -> str:
    """Return how a session stands on disk, in a few words."""
    if session is None:
        return "No scan is open."
    if session.is_read_only:
        whose = f"The reading of {session.begun_by}, to" if session.is_of_another_reader else "To"
        return f"{whose} be looked at only; nothing is saved."
    if session.signature is not None:
        return f"Signed by {session.signature.reader} {clock(session.signature.time_utc)} ✓"
    return f"Saved {clock(session.saved_at)} ✓" if session.saved_at else "Nothing to save yet."


def kept_line(folder: Path | None) -> str:
    """Return where a session's folder is; empty where there is none."""
    return f"This session is kept in {folder}" if folder else ""


def time_left(seconds: float | None) -> str:
    """Return about how long it will take; empty before anybody knows."""
    if seconds is None:
        return ""
    whole_s = max(1, round(seconds))
    return f"{whole_s} s left" if whole_s < MINUTE_S else f"about {round(whole_s / MINUTE_S)} min left"


def waits_for(run: Run[Any], runner: JobRunner) -> str:
    """Return that a run waits while another is at work; empty where it is at work itself, or paused."""
    return "" if run.is_paused or runner.runs[:1] == (run,) else WAITS


def how_far(run: Run[Any]) -> str:
    """Return how many of how many are done and the time left, or what is done where there is nothing to count.

    It stands after the run's title, and does not say again what that says.
    """
    progress = run.progress
    if run.is_wrapping_up:
        return FINISHING
    is_counted = progress.done > 0 and progress.total > 1 and not progress.aside
    says_nothing_new = run.is_paused or progress.doing.lower().startswith(run.title.lower())
    doing = "" if says_nothing_new else progress.doing
    done = f"{progress.done} of {progress.total}" if is_counted else doing
    left = "paused" if run.is_paused else time_left(run.seconds_left) or (PACING if is_counted else "")
    return " · ".join(part for part in (done, left) if part)


def measured_dice(card: Card) -> str:
    """Return a checkpoint's measured Dice in one sentence; empty where none was measured."""
    folds = card.metrics.get("cross_validated", {})
    if dice := dice_by_class(card.measured_dice):
        whose = "Dice" if card.metrics.get("held_out_pooled") else "Dice of the same recipe"  # a sibling's, or folds'
        held_out = card.metrics.get("held_out") or card.metrics.get("sibling", {}).get("held_out", ())
        on = count(len(held_out), "patient") if held_out else "patients"
        values = ", ".join(f"{title} {value:.2f}" for title, value in dice.items())
        return f"{whose} on {on} it never saw: {values}{_in_turn(folds) if held_out else ''}"
    learned = before_and_after(card.metrics)
    return "Dice on the slices it learned from: " + "; ".join(learned) if learned else ""


def _in_turn(folds: Mapping[str, Any]) -> str:
    """Return what cross-validation adds: few patients may be easy ones."""
    if (dice := folds.get("pooled", {}).get("dice_lesion")) is None:
        return ""
    return f"; on {folds['patients']} in turn, after a shorter training: {SHORT_TITLES['lesion']} {dice:.2f}"


def before_and_after(metrics: Mapping[str, Any]) -> list[str]:
    """Return ``ground-glass 0.41 → 0.63`` per class, from a fine-tuned checkpoint's metrics."""
    learned = metrics.get("on_the_learned_slices", {})
    before, after = dice_by_class(learned.get("before")), dice_by_class(learned.get("after"))
    return [f"{title} {before.get(title, 0):.2f} → {value:.2f}" for title, value in after.items()]


def dice_by_class(metrics: Mapping[str, float] | None) -> dict[str, float]:
    """Return the Dice values among metrics by the title of their class, opacities first."""
    found = {key.removeprefix("dice_"): value for key, value in (metrics or {}).items() if key.startswith("dice_")}
    order = ("lesion", *LESIONS.names)
    return {SHORT_TITLES.get(name, name): found[name] for name in order if name in found}
