"""``covseg measure``: how much of each class there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from napari_covseg.cli.console import say, table
from napari_covseg.cli.options import SeriesWanted, SpacingStated, Straighten, WindowStated, parsed_stated
from napari_covseg.cli.verb import Answer, verb

if TYPE_CHECKING:
    from napari_covseg.measure import ClassQuantity
    from napari_covseg.volume import LabelMap, Volume


@verb("covseg measure scan_lesion.nii.gz --scan scan.nii.gz --lungs scan_lung.nii.gz")
def measure(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", readable=False, help="A label map.")],
    scan: Annotated[Path, typer.Option("--scan", metavar="SCAN", readable=False, help="Its scan: a file or a folder.")],
    lungs: Annotated[
        Path | None, typer.Option("--lungs", metavar="MASK", readable=False, help="Lung mask; its volume is 100 %.")
    ] = None,
    series: SeriesWanted = None,
    spacing: SpacingStated = None,
    window: WindowStated = None,
    straighten: Straighten = False,
) -> Answer:
    """Measure millilitres, share of the lung, mean Hounsfield units and components of every class."""
    from napari_covseg.io import read_labels, read_volume
    from napari_covseg.measure import percent_of_lung_involved, quantities
    from napari_covseg.measure.plausibility import doubts_about_lung
    from napari_covseg.volume import fitted

    volume = read_volume(scan, parsed_stated(series, spacing, window, straighten))
    lesion = fitted(read_labels(labels), volume)
    lung = _lung_mask(lungs, lesion, volume) if lungs else None
    doubts = (*lung.notes, *doubts_about_lung(lesion, lung)) if lung is not None else ()
    for note in (*volume.notes, *lesion.notes, *doubts):
        say(note)
    found = quantities(lesion, volume, lung)
    involved = percent_of_lung_involved(found)
    severity = {"percent_of_lung_involved": None if involved is None else round(involved, 2)}
    values = {"classes": {name: _rounded(quantity) for name, quantity in found.items()}, "severity": severity}
    return Answer(values, _shown(values))


def _lung_mask(path: Path, lesion: LabelMap, volume: Volume) -> LabelMap:
    """Return the lung mask on the scan's grid.

    Raises
    ------
    ValueError
        If it marks no lung, or more than lung: a map of lesions or of lobes would make shares of something else.
    """
    from napari_covseg.io import read_labels
    from napari_covseg.io.label_values import values_in
    from napari_covseg.volume import LUNGS, fitted

    mask = read_labels(path, LUNGS)
    remedy = "give a mask whose voxels are 1 within the lungs"
    if len(values_in(mask)) > 1:
        raise ValueError(f"{path} marks {', '.join(map(str, values_in(mask)))}, not lung alone; {remedy}.")
    lung = fitted(mask, volume)
    if not lung.values.any():
        raise ValueError(f"{path} marks no lung; {remedy}.")
    if np.array_equal(lung.values > 0, lesion.values > 0):
        raise ValueError(f"{path} marks the very voxels of the lesions; {remedy}.")
    return lung


def _rounded(quantity: ClassQuantity) -> dict[str, Any]:
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(quantity).items()}


def _shown(values: Mapping[str, Any]) -> Any:
    shown = table("class", ">mL", ">% of lung", ">mean HU", ">components")
    for name, row in values["classes"].items():
        numbers = [("ml", "{:.1f}"), ("percent_of_lung", "{:.1f}"), ("mean_hu", "{:.0f}"), ("components", "{}")]
        shown.add_row(name, *("–" if row[key] is None else form.format(row[key]) for key, form in numbers))
    involved = values["severity"]["percent_of_lung_involved"]
    if involved is not None:
        shown.caption = f"{involved:.1f} % of the lung is involved."
    return shown
