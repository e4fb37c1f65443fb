"""Quantities, and the log of a session, as tables that spreadsheets open."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

from napari_covseg.io import written
from napari_covseg.measure import ClassQuantity
from napari_covseg.review.log_lines import Line, Log
from napari_covseg.review.words import slice_numbers


def write_quantities(quantities: Mapping[str, ClassQuantity], path: Path) -> Path:
    """Write one row per class as CSV; what could not be measured stays empty. Return the file."""
    with written(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["class", *(field.name for field in fields(ClassQuantity))])
        for name, quantity in quantities.items():
            row = asdict(quantity).values()
            table.writerow([name, *(round(value, 3) if isinstance(value, float) else value for value in row)])
    return path


def write_log(log: Log, path: Path) -> Path:
    """Write one row per line of a log as CSV, the oldest first; slices count from 1 at the apex. Return the file."""
    with written(path) as draft, draft.open("w", newline="", encoding="utf-8-sig") as stream:  # Excel asks for the mark
        table = csv.writer(stream)
        table.writerow([field.name for field in fields(Line)])
        for line in log.lines:
            table.writerow((line.as_json() | {"slices": slice_numbers(line.slices)}).values())
    return path
