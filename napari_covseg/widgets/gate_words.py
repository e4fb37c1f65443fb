"""What the gate of a fine-tuning said, in the reader's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from napari_covseg.io.sentences import count
from napari_covseg.networks.lineage import SYNTHETIC_SAMPLE
from napari_covseg.volume import LESIONS, SHORT_TITLES
from napari_covseg.widgets.words import before_and_after

ORDER = ("lesion", *LESIONS.names)
UNKNOWN = "–"
SAMPLE, OLDER = "the bundled sample", "older cases"

COLUMNS = (("Dice", "dice", 3), ("HD95 mm", "hd95_mm", 1), ("mL off", "ml_error", 2))
"""Heading, name in a row of the gate, decimals."""

WIDTH = f"{100 // len(COLUMNS)}%"

TABLES_TOLD = (
    "Dice: how much is marked by both, 1 is all. HD95: how far apart the outlines lie, all but the worst 5 %. "
    "mL off: how much was marked too much or too little. In brackets: where the change of Dice lies in 95 of 100 "
    "times when slices are drawn again from these"
)
INTERVAL_TOLD = "<small>In brackets: the 95 % interval of the change.</small>"
UNKNOWN_TOLD = f"<small>{UNKNOWN}: it cannot be measured, as none of it is there or none is marked.</small>"


def headline(gate: Mapping[str, Any]) -> str:
    """Return which one to use in one sentence; empty of a checkpoint that no gate was asked about."""
    if not gate:
        return ""
    if gate.get("promoted"):
        return "The new one is recommended."
    if gate.get("judged"):
        return "The old one is recommended."
    return f"Nobody can say yet whether it {'forgot anything' if gate.get('held_out') else 'is better'}."


def reasons(metrics: Mapping[str, Any]) -> str:
    """Return the verdict and its reasons, of a card's metrics, as rich text."""
    gate = metrics.get("gate", {})
    return f"<b>{headline(gate)}</b> {escape(gate.get('words', ''))}" if gate else ""


def tables(metrics: Mapping[str, Any]) -> str:
    """Return the figures before and after, of a card's metrics, as rich text."""
    gate = metrics.get("gate", {})
    slices, older = count(gate.get("slices", 0), "slice"), count(gate.get("replay_slices", 0), "slice")
    of_before = SAMPLE if metrics.get("replay") == SYNTHETIC_SAMPLE else OLDER
    parts = [
        _table(f"On {slices} it did not learn from", gate.get("held_out", ())),
        _table(f"On {older} of {of_before}", gate.get("replay", ())),
    ]
    if any("<small>" in part for part in parts):
        parts.append(INTERVAL_TOLD)
    if any(UNKNOWN in part for part in parts):
        parts.append(UNKNOWN_TOLD)
    learned = "<br>".join(before_and_after(metrics))
    if learned and not gate.get("judged") and not gate.get("held_out"):
        parts.append(f"Dice on the slices it learned from, which says little:<br>{learned}")
    return "".join(f"<p>{part}</p>" for part in parts if part)


def _table(heading: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return two lines per class: by how much its Dice changed; below, what it was before and after, in columns."""
    told = ("dice_before", "dice_after", "ml_error_before", "ml_error_after")
    by_name = {row["name"]: row for row in rows if row["dice_after"] == 0 or any(row.get(key) for key in told)}
    known = [by_name[name] for name in ORDER if name in by_name]
    if not known:
        return ""
    titles = "".join(f'<td width="{WIDTH}">{title}</td>' for title, *_ in COLUMNS)
    lines = "".join(line for row in known for line in _lines(row))
    return f'<b>{heading}</b><table width="100%" cellspacing="0"><tr>{titles}</tr>{lines}</table>'


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    title = SHORT_TITLES.get(row["name"], row["name"])
    yield f'<tr><td colspan="{len(COLUMNS)}" style="padding-top: 3px"><b>{title}</b> {_gain(row)}</td></tr>'
    cells = (_pair(row.get(f"{name}_before"), row.get(f"{name}_after"), decimals) for _, name, decimals in COLUMNS)
    yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _gain(row: Mapping[str, Any]) -> str:
    """Return by how much Dice rose or fell, and its interval where enough slices tell it."""
    before, after, low, high = (row.get(key) for key in ("dice_before", "dice_after", "gain_low", "gain_high"))
    if before is None or after is None:
        return ""
    interval = "" if low is None or high is None else f" <small>({_signed(low)} … {_signed(high)})</small>"
    return f"Dice&nbsp;{_signed(after - before)}{interval}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _pair(before: float | None, after: float | None, decimals: int) -> str:
    if before is None and after is None:
        return UNKNOWN
    return f"{_said(before, decimals)}&nbsp;→&nbsp;{_said(after, decimals)}"


def _said(value: float | None, decimals: int) -> str:
    """Return a figure in three digits or so, lest it be wider than its column."""
    if value is None:
        return UNKNOWN
    return f"{value:.{0 if value >= 100 else min(1, decimals) if value >= 10 else decimals}f}"
