"""How slices and rows of the log are called in a sentence; slices are counted from 1 at the apex."""

from __future__ import annotations

from collections.abc import Iterable


def slices_named(indices: Iterable[int]) -> str:
    """Return slices by name: ``slice 12`` or ``slices 12, 40–42``."""
    numbers = [index + 1 for index in indices]
    return f"{'slice' if len(numbers) == 1 else 'slices'} {_drawn_together(numbers)}"


def slice_numbers(indices: Iterable[int]) -> str:
    """Return slices by number, runs drawn together: ``12, 40–42``."""
    return _drawn_together(index + 1 for index in indices)


def ranges_in_words(ranges: Iterable[tuple[int, int]]) -> str:
    """Return ranges, both ends included: ``3, 7–9``."""
    return ", ".join(f"{low}" if low == high else f"{low}–{high}" for low, high in ranges)


def _drawn_together(numbers: Iterable[int]) -> str:
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return ranges_in_words(runs)
