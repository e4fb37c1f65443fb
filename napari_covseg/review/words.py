"""How slices and rows of the log are called in a sentence; slices are counted from 1 at the apex."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def slices_named(indices: Iterable[int]) -> str:
    """Return slices by name: ``slice 12`` or ``slices 12, 40–42``."""
    numbers = [index + 1 for index in indices]
    return f"{'slice' if len(numbers) == 1 else 'slices'} {numbers_in_words(numbers)}"


def slice_numbers(indices: Iterable[int]) -> str:
    """Return slices by number, runs drawn together: ``12, 40–42``."""
    return numbers_in_words(index + 1 for index in indices)


def marks_in_words(before: Collection[int], after: Collection[int]) -> str:
    """Return a sentence each for the slices that lost their mark and those that got one back; empty where none did."""
    lost, again = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    told = [f"No longer marked reviewed: {slices_named(lost)}."] if lost else []
    return " ".join([*told, f"Marked reviewed again: {slices_named(again)}."] if again else told)


def ranges_in_words(ranges: Iterable[tuple[int, int]]) -> str:
    """Return ranges, both ends included: ``3, 7–9``."""
    return ", ".join(f"{low}" if low == high else f"{low}–{high}" for low, high in ranges)


def numbers_in_words(numbers: Iterable[int]) -> str:
    """Return numbers that go up, those in a row drawn together: ``3, 7–9``."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return ranges_in_words(runs)
