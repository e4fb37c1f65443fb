"""What a session was begun as: its scan, grid and reader, which the log vouches for and nobody may exchange."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from napari_covseg.review.audit import Event
from napari_covseg.review.snapshot import Snapshot

VOUCHED_AS = "begun"
_NAMED = {
    "scan_sha256": "the scan it belongs to",
    "scan_name": "what its scan is called",
    "grid": "the grid of its scan",
    "reader": "who began it",
}


def told(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row of the log is to vouch for."""
    return {key: about[key] for key in _NAMED if about.get(key)}


def vouched(trail: Iterable[Event], snapshots: Sequence[Snapshot] = ()) -> dict[str, Any]:
    """Return what a session was begun as: as its log says it first; of an older log, as its snapshots say it."""
    facts: dict[str, Any] = {}
    for event in trail:
        facts = told(event.detail.get(VOUCHED_AS) or {}) | facts
        if event.kind == "sign":
            facts = told({"scan_sha256": event.detail.get("scan_sha256")}) | facts
    for each in reversed(snapshots):
        facts = told(each.about) | facts
    return facts


def is_another(about: Mapping[str, Any], vouched_for: Mapping[str, Any]) -> bool:
    """Whether facts are of another session than the log vouches for; what they do not tell contradicts nothing."""
    return any(about.get(key) not in (None, vouched_for[key]) for key in vouched_for)


def contradiction(about: Mapping[str, Any], vouched_for: Mapping[str, Any]) -> str:
    """Return a sentence where the facts beside the log are others than those it vouches for; empty where they agree."""
    others = [name for key, name in _NAMED.items() if key in vouched_for and about.get(key) != vouched_for[key]]
    if not others:
        return ""
    return (
        f"What this session says of {' and '.join(others)} was changed outside CovSeg; it is shown as it was begun, "
        "and can be looked at and exported, but not changed: put a copy of its folder from before back to go on."
    )
