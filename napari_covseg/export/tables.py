"""Quantities as a table that spreadsheets open."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

from napari_covseg.io import written
from napari_covseg.measure import ClassQuantity


def write_quantities(quantities: Mapping[str, ClassQuantity], path: Path) -> Path:
    """Write one row per class as CSV; what could not be measured stays empty. Return the file."""
    with written(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["class", *(field.name for field in fields(ClassQuantity))])
        for name, quantity in quantities.items():
            row = asdict(quantity).values()
            table.writerow([name, *(round(value, 3) if isinstance(value, float) else value for value in row)])
    return path
