"""``covseg info``: what a file or folder holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_covseg.cli.console import table
from napari_covseg.cli.verb import Answer, verb

if TYPE_CHECKING:
    from napari_covseg.volume import Volume


@verb("covseg info scan.nii.gz")
def info(path: Annotated[Path, typer.Argument(metavar="PATH", help="A NIfTI file or a DICOM folder.")]) -> Answer:
    """Say what a scan is: its grid, its Hounsfield units, its DICOM series, and what is odd about it."""
    from napari_covseg.io import format_of, read_volume

    if format_of(path) != "DICOM":
        return _answer({"path": str(path), "format": "NIfTI", **_described(read_volume(path)), "series": []})
    from napari_covseg.io.dicom import describe_series

    series = [asdict(summary) for summary in describe_series(path)]
    try:
        described = _described(read_volume(path))
    except ValueError as error:  # what is there can be told all the same
        described = {**_NOTHING, "warnings": [str(error)]}
    return _answer({"path": str(path), "format": "DICOM", **described, "series": series})


_NOTHING = {"shape": None, "spacing_mm": None, "orientation": None, "hu_range": None}


def _described(scan: Volume) -> dict[str, Any]:
    from napari_covseg.measure.plausibility import doubts, hu_range

    return {
        "shape": list(scan.geometry.shape),
        "spacing_mm": [round(mm, 4) for mm in scan.geometry.spacing_mm],
        "orientation": scan.geometry.orientation,
        "hu_range": list(hu_range(scan)),
        "warnings": list(doubts(scan)),
    }


def _answer(values: dict[str, Any]) -> Answer:
    shown = table("", values["path"])
    shown.add_row("format", values["format"])
    if values["shape"] is not None:
        low, high = values["hu_range"]
        shown.add_row("voxels", " × ".join(str(n) for n in values["shape"]))
        shown.add_row("spacing", " × ".join(f"{mm:g}" for mm in values["spacing_mm"]) + " mm")
        shown.add_row("axes run to", " ".join(values["orientation"]))
        shown.add_row("values", f"{low:g} … {high:g} HU")
    for each in values["series"]:
        words = [each["modality"], f"{each['slices']} slices", each["description"]]
        shown.add_row("series", ", ".join(word for word in words if word))
    for sentence in values["warnings"]:
        shown.add_row("warning", sentence)
    return Answer(values, shown)
