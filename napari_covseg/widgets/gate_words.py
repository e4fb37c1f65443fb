"""What the gate of a fine-tuning said, in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_covseg.io.sentences import count
from napari_covseg.volume import LESIONS, SHORT_TITLES
from napari_covseg.widgets.words import before_and_after

ORDER = ("lesion", *LESIONS.names)
UNKNOWN = "–"
CELL = '<td align="{align}" style="padding-right: 10px">{said}</td>'


def headline(gate: Mapping[str, Any]) -> str:
    """Return the verdict in one sentence; empty of a checkpoint that no gate was asked about."""
    if not gate:
        return ""
    if gate.get("promoted"):
        return "Better than the one before."
    return "Not better than the one before." if gate.get("judged") else "Nobody can say yet whether it is better."


def told(metrics: Mapping[str, Any]) -> str:
    """Return the verdict, its reasons and the tables before and after, as rich text."""
    gate = metrics.get("gate", {})
    slices, older = gate.get("slices", 0), gate.get("replay_slices", 0)
    parts = [f"<b>{headline(gate)}</b> {gate.get('words', '')}" if gate else ""]
    parts.append(_table(f"Dice on {count(slices, 'slice')} it did not learn from", gate.get("held_out", ())))
    parts.append(_table(f"Dice on {count(older, 'slice')} of older cases", gate.get("replay", ())))
    learned = "<br>".join(before_and_after(metrics))
    if learned and not gate.get("judged"):
        parts.append(f"Dice on the slices it learned from, which says little:<br>{learned}")
    return "".join(f"<p>{part}</p>" for part in parts if part)


def _table(heading: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a row per class: before, after, and by how much it rose or fell."""
    known = sorted((row for row in rows if row["name"] in ORDER), key=lambda row: ORDER.index(row["name"]))
    if not known:
        return ""
    lines = [("", "before", "after", ""), *(_line(row) for row in known)]
    cells = "".join(f"<tr>{''.join(_cell(column, said) for column, said in enumerate(line))}</tr>" for line in lines)
    return f"{heading}<table>{cells}</table>"


def _line(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    before, after = row["dice_before"], row["dice_after"]
    gain = "" if before is None or after is None else f"{after - before:+.2f}".replace("-", "−")
    return SHORT_TITLES.get(row["name"], row["name"]), _dice(before), _dice(after), gain


def _dice(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"


def _cell(column: int, said: str) -> str:
    return CELL.format(align="right" if column else "left", said=said)
