"""``covseg measure``: how much of each class there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_covseg.cli.console import say, table
from napari_covseg.cli.options import SeriesWanted, SpacingStated, Straighten, WindowStated, parsed_stated
from napari_covseg.cli.verb import Answer, verb

if TYPE_CHECKING:
    from napari_covseg.measure import ClassQuantity
    from napari_covseg.volume import Geometry, LabelMap

OPACITIES = ("ggo", "consolidation", "infection")
"""What makes lung diseased; fluid beside it does not."""


@verb("covseg measure scan_lesion.nii.gz --scan scan.nii.gz --lungs scan_lung.nii.gz")
def measure(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="A label map.")],
    scan: Annotated[Path, typer.Option("--scan", metavar="SCAN", help="Its scan: a file or a DICOM folder.")],
    lungs: Annotated[
        Path | None, typer.Option("--lungs", metavar="MASK", help="Lung mask; its volume is 100 %.")
    ] = None,
    series: SeriesWanted = None,
    spacing: SpacingStated = None,
    window: WindowStated = None,
    straighten: Straighten = False,
) -> Answer:
    """Measure millilitres, share of the lung, mean Hounsfield units and components of every class."""
    from napari_covseg.io import read_labels, read_volume
    from napari_covseg.measure import quantities
    from napari_covseg.volume import LUNGS

    volume = read_volume(scan, parsed_stated(series, spacing, window, straighten))
    for note in volume.notes:
        say(note)
    lesion = _brought_onto(read_labels(labels), labels, volume.geometry, scan)
    lung = _brought_onto(read_labels(lungs, LUNGS), lungs, volume.geometry, scan) if lungs else None
    if lung is not None and not lung.values.any():
        raise ValueError(f"{lungs} marks no lung; give a mask whose voxels are 1 within the lungs.")
    found = quantities(lesion, volume, lung)
    severity = {"percent_of_lung_involved": _involved(found)}
    values = {"classes": {name: _rounded(quantity) for name, quantity in found.items()}, "severity": severity}
    return Answer(values, _shown(values))


def _brought_onto(labels: LabelMap, path: Path, grid: Geometry, scan: Path) -> LabelMap:
    """Return the labels on the scan's grid; a map that lies elsewhere in the patient is refused."""
    from napari_covseg.volume import labels_on

    if labels.geometry.same_grid(grid):
        return labels
    (low, high), (scan_low, scan_high) = _box_mm(labels.geometry), _box_mm(grid)
    if (high < scan_low).any() or (scan_high < low).any():
        raise ValueError(f"{path.name} lies beside {scan.name}, in another place of the patient; choose its own scan.")
    say(f"{path.name} is on another grid than {scan.name} and was brought onto the scan's.")
    return labels_on(labels, grid)


def _box_mm(grid: Geometry) -> tuple[Any, Any]:
    corners = grid.corners_mm()
    return corners.min(axis=0), corners.max(axis=0)


def _involved(found: Mapping[str, ClassQuantity]) -> float | None:
    shares = [found[name].percent_of_lung for name in OPACITIES]
    return round(sum(share for share in shares if share is not None), 2) if None not in shares else None


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
