"""The five steps of the tour: what to do, where, and how it is known to be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_covseg.io import sample_scan

if TYPE_CHECKING:
    from napari_covseg.widgets.benches import Desk


@dataclass(frozen=True, slots=True)
class Step:
    """What to do, on which panel, how it is known to be done, and what the next step cannot be taken without."""

    title: str
    words: str
    panel: str
    is_done: Callable[[Desk], bool]
    does: str = ""
    act: Callable[[Desk], object] | None = None
    waits_for: str = ""


def _segmented(desk: Desk) -> bool:
    """Whether something is labelled, and no network is at it any more: until then Cancel is in sight."""
    return bool(desk.link.tally and any(desk.link.tally.totals_ml.values())) and not desk.bench.runner.busy


def _by_hand(desk: Desk) -> bool:
    return bool(desk.session and desk.session.touched)


STEPS = (
    Step(
        "Open a scan",
        "Drop a CT on the window, or take the synthetic one that comes with CovSeg.",
        "Open",
        lambda desk: desk.session is not None,
        "Open the sample",
        lambda desk: desk.attempt(lambda: desk.bench.open(sample_scan())),
        "The tour goes on once a scan is open.",
    ),
    Step(
        "Look through it",
        "The wheel goes down the patient, a right-drag sets the window, Ctrl and wheel zooms. "
        "The strip below shows what is on each slice; click it to go there.",
        "Review",
        lambda _desk: False,
    ),
    Step(
        "Let a network find the lesions",
        "Press Segment. Finished slices appear at once, from the one you look at outward; you can go on reading.",
        "Segment",
        _segmented,
    ),
    Step(
        "Correct it",
        "Press A for ground-glass and paint; E erases, Ctrl-Z takes anything back. Everything is saved as you go.",
        "Review",
        _by_hand,
    ),
    Step(
        "Say that a slice is right",
        "Press R: the slice is reviewed, and the next one comes. Reviewed slices are what the network learns "
        "from (Learn) and never paints over. Then Sign and Export. ? shows all keys.",
        "Review",
        lambda desk: bool(desk.session and desk.session.marks),
    ),
)
